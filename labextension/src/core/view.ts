/** What one view knows of its job: the job as it is, and what it has put out. */

import { hasEnded, type Job } from './job.ts';
import type { Link } from './link.ts';
import { Outputs, type Bounds } from './outputs.ts';
import { Reading } from './reading.ts';
import type { JobWatch } from './watch.ts';

export interface JobViewOptions extends Bounds {
  readonly tailBytes: number;
  /** The same for jobs that may show more than text: plots are wanted, however much is printed. */
  readonly richTailBytes: number;
  readonly floodBytes: number;
}

/** Begin with `open`, end with `close`; `changed` is called after whatever has changed. */
export class JobView {
  constructor(link: Link, watch: JobWatch, id: string, options: JobViewOptions, changed: () => void) {
    this.id = id;
    this.outputs = new Outputs(options);
    this._link = link;
    this._watch = watch;
    this._options = options;
    this._changed = changed;
  }

  readonly id: string;
  readonly outputs: Outputs;
  /** Null until the server has told it. */
  job: Job | null = null;
  /** Why the server has no such job: it never knew it, or it was deleted. */
  missing: 'never' | 'deleted' | null = null;
  /** Why the server does not tell of it, in its own words. */
  refusal: string | null = null;

  /** Whether nothing more will come. */
  get isComplete(): boolean {
    return this.job !== null && hasEnded(this.job) && this._reading?.isOver === true;
  }

  /** Seconds since the epoch, by the clock that the job's times are by. */
  get now(): number {
    return this._watch.now;
  }

  open(): void {
    this._unwatch ??= this._watch.add(this.id, {
      seen: (job, isAnew) => this._seen(job, isAnew),
      unknown: why => this._unknown(why),
      refused: words => this._refused(words)
    });
  }

  close(): void {
    this.look(false);
    this._unwatch?.();
    this._unwatch = null;
  }

  /** Whether anybody looks: output is read only then. */
  look(isLooking: boolean): void {
    this._isLooking = isLooking;
    this._read();
  }

  private _seen(job: Job, isAnew: boolean): void {
    if (!isAnew && this.job !== null && job.version < this.job.version) {
      return;
    }
    this.job = job;
    this.missing = this.refusal = null;
    this._read();
    this._changed();
  }

  private _unknown(why: 'never' | 'deleted'): void {
    this.missing = this.job === null ? why : 'deleted';
    this._reading?.pause();
    this._changed();
  }

  private _refused(words: string): void {
    this.refusal = words;
    this._changed();
  }

  private _read(): void {
    if (this.job === null || this.job.attempt === 0 || this.missing !== null || !this._isLooking) {
      this._reading?.pause();
      return;
    }
    this._reading ??= this._made(this.job);
    this._reading.start(this.job.attempt);
  }

  private _made(job: Job): Reading {
    const isText = job.kind === 'shell';
    return new Reading(this._link, this.outputs, {
      job: job.id,
      tailBytes: isText ? this._options.tailBytes : this._options.richTailBytes,
      floodBytes: isText ? this._options.floodBytes : Infinity,
      changed: this._changed
    });
  }

  private readonly _link: Link;
  private readonly _watch: JobWatch;
  private readonly _options: JobViewOptions;
  private readonly _changed: () => void;
  private _reading: Reading | null = null;
  private _unwatch: (() => void) | null = null;
  private _isLooking = false;
}
