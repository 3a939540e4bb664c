/** What all views of a page share: one link, one watch. */

import { Signal, type ISignal } from '@lumino/signaling';

import { Link } from '../core/link.ts';
import { JobView, type JobViewOptions } from '../core/view.ts';
import { JobWatch } from '../core/watch.ts';
import { TasksServer } from './server.ts';

/** Nothing is connected before the first view opens. */
export class LivePage {
  constructor(server: TasksServer) {
    this.server = server;
    this.link = new Link({
      open: () => this.server.open(),
      explain: () => this.server.explain(),
      changed: () => this._changed.emit()
    });
    this._watch = new JobWatch(this.link);
    window.addEventListener('online', () => this.link.hurry());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) {
        this.link.hurry();
      }
      this._changed.emit();
    });
  }

  readonly server: TasksServer;
  readonly link: Link;

  /** The connection has come, gone, or found its trouble; or the page is looked at, or no longer. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What a view may know of the job; `changed` is called after whatever has changed. */
  view(id: string, options: JobViewOptions, changed: () => void): JobView {
    return new JobView(this.link, this._watch, id, options, changed);
  }

  private readonly _watch: JobWatch;
  private readonly _changed = new Signal<this, void>(this);
}
