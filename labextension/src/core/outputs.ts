/** What a job has put out, as a notebook would show it below a cell: text, rich outputs, remarks. */

import type { Record } from './records.ts';
import { Terminal, type StreamName } from './terminal.ts';

/** An output as nbformat has it: `output_type`, and `data` or an error's fields. */
export interface RichOutput {
  readonly output_type: string;
  readonly [field: string]: unknown;
}

export interface TextBlock {
  readonly kind: 'text';
  readonly key: number;
  readonly terminal: Terminal;
}

export interface RichBlock {
  readonly kind: 'rich';
  readonly key: number;
  readonly displayId: string | null;
  readonly output: RichOutput;
}

/** Words of ours between the outputs: what is missing there. */
export interface RemarkBlock {
  readonly kind: 'remark';
  readonly key: number;
  readonly words: string;
}

export type Block = TextBlock | RichBlock | RemarkBlock;

export interface Bounds {
  /** So many lines of each piece of text. */
  readonly lines: number;
  /** So many blocks of all kinds; the oldest are forgotten first. */
  readonly blocks: number;
}

const DECODER = new TextDecoder();

/** Blocks are replaced and never changed; only the screen of a text lives on. */
export class Outputs {
  constructor(bounds: Bounds) {
    this._bounds = bounds;
  }

  get blocks(): readonly Block[] {
    return this._blocks;
  }

  /** Whether blocks were forgotten, or what came before the first was never read. */
  isCut = false;

  take(record: Record): void {
    const { header, payload } = record;
    switch (header.k) {
      case 'out':
      case 'err':
        this._print(header.k, payload);
        break;
      case 'display':
        this._display(payload, header.display_id ?? null);
        break;
      case 'update':
        this._update(payload, header.display_id ?? null);
        break;
      case 'clear':
        this._clear(header.wait === true);
        break;
      case 'note':
        if (header.code === 'output_lost') {
          this.remark(`Some output is lost: ${DECODER.decode(payload)}`);
        }
    }
  }

  /** Say something at this place of the output. */
  remark(words: string): void {
    const last = this._blocks[this._blocks.length - 1];
    if (last?.kind !== 'remark' || last.words !== words) {
      this._add({ kind: 'remark', key: this._nextKey++, words });
    }
  }

  /** Forget all: another attempt begins, or reading begins anew. */
  reset(): void {
    this._blocks = [];
    this._isClearing = false;
    this.isCut = false;
  }

  private _print(stream: StreamName, bytes: Uint8Array): void {
    this._clearIfDue();
    let last = this._blocks[this._blocks.length - 1];
    if (last?.kind !== 'text') {
      last = { kind: 'text', key: this._nextKey++, terminal: this._terminal() };
      this._add(last);
    }
    last.terminal.take(stream, bytes);
  }

  private _terminal(): Terminal {
    return new Terminal(this._bounds.lines + 1); // the last one is mostly empty
  }

  private _display(payload: Uint8Array, displayId: string | null): void {
    this._clearIfDue();
    this._add({ kind: 'rich', key: this._nextKey++, displayId, output: parsed(payload) });
  }

  /** Every output of that id, wherever it stands; one that is not there was cleared. */
  private _update(payload: Uint8Array, displayId: string | null): void {
    const output = parsed(payload);
    this._blocks = this._blocks.map(block =>
      block.kind === 'rich' && displayId !== null && block.displayId === displayId
        ? { ...block, output }
        : block
    );
  }

  /** At once, or with the next output, so that nothing flickers. */
  private _clear(wait: boolean): void {
    this._isClearing = wait;
    if (!wait) {
      this._blocks = [];
    }
  }

  private _clearIfDue(): void {
    if (this._isClearing) {
      this._clear(false);
    }
  }

  private _add(block: Block): void {
    const surplus = this._blocks.length + 1 - this._bounds.blocks;
    this.isCut ||= surplus > 0;
    this._blocks = [...this._blocks.slice(Math.max(0, surplus)), block];
  }

  private readonly _bounds: Bounds;
  private _blocks: readonly Block[] = [];
  private _isClearing = false;
  private _nextKey = 0;
}

/** What is no output that a notebook could hold is shown as an error in its place. */
function parsed(payload: Uint8Array): RichOutput {
  try {
    const output = JSON.parse(DECODER.decode(payload)) as RichOutput | null;
    if (typeof output?.output_type === 'string') {
      return withoutWidget(output);
    }
    return unreadable('it names no type');
  } catch (error) {
    return unreadable((error as Error).message);
  }
}

function unreadable(why: string): RichOutput {
  return { output_type: 'stream', name: 'stderr', text: `An output cannot be shown: ${why}\n` };
}

/** A widget lives in its kernel, which has gone or will: what it has left for such a case is shown. */
const WIDGET = 'application/vnd.jupyter.widget-view+json';

function withoutWidget(output: RichOutput): RichOutput {
  const { data } = output as { data?: unknown };
  if (typeof data !== 'object' || data === null || !(WIDGET in data)) {
    return output;
  }
  const { [WIDGET]: _, ...left } = data as { [mime: string]: unknown };
  return { ...output, data: left };
}
