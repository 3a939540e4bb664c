/** Reads the output of one job for one view: from near its end on, over lost connections and attempts. */

import type { Link } from './link.ts';
import type { Answer, OutputHead, Request, Stream } from './messages.ts';
import type { Outputs } from './outputs.ts';
import { parseCursor, RecordParser, type Cursor } from './records.ts';

export interface ReadingOptions {
  readonly job: string;
  /** At most so much of what is there at the beginning. */
  readonly tailBytes: number;
  /** Where more than so much comes in a second, go on at the end; for what is text alone. */
  readonly floodBytes: number;
  changed(): void;
}

const CATCH_UP_MS = 500;
const TRY_AGAIN_MS = 3000;
let count = 0;

const LEFT_OUT = 'Earlier output is left out here.';

export class Reading implements Stream {
  constructor(link: Link, outputs: Outputs, options: ReadingOptions) {
    this._link = link;
    this._outputs = outputs;
    this._options = options;
  }

  /** Whether all of the attempt's output has been read. */
  get isOver(): boolean {
    return this._isOver;
  }

  /** Read this attempt; what is shown of another is forgotten. */
  start(attempt: number): void {
    const isOther = attempt !== this._attempt;
    if (isOther) {
      this._attempt = attempt;
      this._cursor = null;
      this._isOver = false;
      this._outputs.reset();
      this._options.changed();
    }
    if (!this._isOver && (isOther || !this._isReading)) {
      this.pause();
      this._isReading = true;
      // A name of its own: what is still on its way of the one before is told apart.
      this._id = `output-${++count}`;
      this._link.begin(this._id, this);
    }
  }

  /** Read no further for now; `start` goes on here. */
  pause(): void {
    clearTimeout(this._catchUp);
    if (this._isReading) {
      this._isReading = false;
      this._link.end(this._id);
    }
  }

  request(): Request | null {
    const { job, tailBytes } = this._options;
    this._parser = new RecordParser();
    const place = this._mayJump
      ? { attempt: this._attempt, tail: tailBytes }
      : { cursor: `${this._attempt}.${this._cursor?.byte ?? 0}` };
    this._isJumping = this._mayJump;
    return { type: 'read', id: this._id, job, follow: true, ...place };
  }

  output(head: OutputHead, bytes: Uint8Array): void {
    const from = parseCursor(head.from);
    const known = this._cursor?.byte ?? 0;
    if (this._isJumping && from.byte > known) {
      this._outputs.reset();
      this._outputs.isCut = true;
      this._outputs.remark(LEFT_OUT);
    }
    this._isJumping = false;
    this._takeFrom(bytes, known - from.byte);
    const end = parseCursor(head.cursor);
    this._cursor = end.byte > known ? end : this._cursor;
    this._options.changed();
    this._breathe(bytes.length);
  }

  answer(message: Answer): void {
    if (message.type === 'gap') {
      this._cursor = parseCursor(message.to);
      const bytes = this._cursor.byte - parseCursor(message.from).byte;
      this._outputs.isCut = true;
      this._outputs.remark(`${bytes} bytes of output were dropped here: more than max_output_bytes.`);
      this._options.changed();
    } else if (message.type === 'end') {
      this._isOver = true;
      this.pause();
      this._options.changed();
    } else if (message.type === 'error') {
      this._refused(message.code, message.message);
    }
  }

  /** Whether to ask for the end of what is there, as far as it is not known yet. */
  private get _mayJump(): boolean {
    return this._cursor === null || this._options.floodBytes < Infinity;
  }

  /** Records that were there before a jump back are taken once. */
  private _takeFrom(bytes: Uint8Array, known: number): void {
    const isNew = known <= 0;
    if (!isNew && known >= bytes.length) {
      return;
    }
    for (const record of this._parser.take(isNew ? bytes : bytes.subarray(known))) {
      this._outputs.take(record);
    }
  }

  /** Where more comes than anybody can read, look at the end of it now and then. */
  private _breathe(bytes: number): void {
    const now = Date.now();
    if (now - this._countedAt > 1000) {
      this._countedAt = now;
      this._counted = 0;
    }
    this._counted += bytes;
    if (this._counted > this._options.floodBytes && this._isReading) {
      this._counted = 0;
      this.pause();
      this._catchUp = setTimeout(() => this.start(this._attempt), CATCH_UP_MS);
    }
  }

  private _refused(code: string, words: string): void {
    this.pause();
    if (code === 'not_found' || code === 'not_allowed') {
      return; // of the job itself the watch tells
    }
    if (code === 'bad_cursor') {
      this._cursor = null;
      this._outputs.reset();
    }
    this._outputs.remark(words);
    this._options.changed();
    this._catchUp = setTimeout(() => this.start(this._attempt), TRY_AGAIN_MS);
  }

  private readonly _link: Link;
  private readonly _outputs: Outputs;
  private readonly _options: ReadingOptions;
  private _parser = new RecordParser();
  private _id = '';
  private _attempt = 0;
  private _cursor: Cursor | null = null;
  private _isReading = false;
  private _isJumping = false;
  private _isOver = false;
  private _counted = 0;
  private _countedAt = 0;
  private _catchUp: ReturnType<typeof setTimeout> | undefined;
}
