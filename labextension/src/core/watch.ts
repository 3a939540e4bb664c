/** One watch for all jobs that a page shows. */

import type { Job } from './job.ts';
import type { Link } from './link.ts';
import type { Answer, Request, Stream } from './messages.ts';

/** What becomes of one job that is watched. */
export interface Watcher {
  /** The job is like this now; `isAnew`: whatever was told before no longer counts. */
  seen(job: Job, isAnew: boolean): void;
  /** The server does not know it, or no longer. */
  unknown(why: 'never' | 'deleted'): void;
  /** It does not tell; it is asked again. */
  refused(words: string): void;
}

const ID = 'jobs';
const TRY_AGAIN_MS = 3000;

export class JobWatch implements Stream {
  constructor(link: Link) {
    this._link = link;
  }

  /** Seconds since the epoch by the server's clock, which all times of jobs are by: this machine's may be wrong. */
  get now(): number {
    return Date.now() / 1000 + this._ahead_s;
  }

  /** Tell of the job from now on; as often as it is asked for, until each has called what is returned. */
  add(job: string, watcher: Watcher): () => void {
    const watchers = this._watchers.get(job) ?? new Set();
    this._watchers.set(job, watchers.add(watcher));
    this._askSoon();
    return () => {
      if (watchers.delete(watcher) && watchers.size === 0 && this._watchers.get(job) === watchers) {
        this._watchers.delete(job);
        this._askSoon();
      }
    };
  }

  request(): Request | null {
    const ids = [...this._watchers.keys()];
    this._missing = new Set(ids);
    // Never from an event on: progress is none, and a few jobs are told anew as quickly.
    return { type: 'watch', id: ID, filter: { ids }, view: true };
  }

  answer(message: Answer): void {
    switch (message.type) {
      case 'snapshot':
        message.jobs.forEach(job => this._seen(job, true));
        if (!message.more) {
          this._missing.forEach(job => this._tell(job, watcher => watcher.unknown('never')));
        }
        break;
      case 'live':
        this._ahead_s = message.now === undefined ? 0 : message.now - Date.now() / 1000;
        break;
      case 'job':
        this._seen(message.job, false);
        break;
      case 'gone':
        if (message.why === 'deleted') {
          this._tell(message.job, watcher => watcher.unknown('deleted'));
        }
        break;
      case 'reset':
        this._missing = new Set(this._watchers.keys());
        break;
      case 'error':
        this._watchers.forEach((_, job) =>
          this._tell(job, watcher => watcher.refused(message.message))
        );
        setTimeout(() => this._askSoon(), TRY_AGAIN_MS);
    }
  }

  private _seen(job: Job, isAnew: boolean): void {
    this._missing.delete(job.id);
    this._tell(job.id, watcher => watcher.seen(job, isAnew));
  }

  private _tell(job: string, what: (watcher: Watcher) => void): void {
    this._watchers.get(job)?.forEach(what);
  }

  /** Many views come and go together: one question for all of them. */
  private _askSoon(): void {
    if (!this._isAsking) {
      this._isAsking = true;
      queueMicrotask(() => {
        this._isAsking = false;
        if (this._watchers.size > 0) {
          this._link.begin(ID, this);
        } else {
          this._link.end(ID);
        }
      });
    }
  }

  private readonly _link: Link;
  private readonly _watchers = new Map<string, Set<Watcher>>();
  private _missing = new Set<string>();
  private _isAsking = false;
  private _ahead_s = 0;
}
