/** One job, live, as long as it is on the page: in a cell's output, or in a view of its own. */

import { Clipboard } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { Message } from '@lumino/messaging';
import { Panel } from '@lumino/widgets';

import { hasEnded } from '../core/job.ts';
import { Pace } from '../core/pace.ts';
import type { JobView, JobViewOptions } from '../core/view.ts';
import type { LivePage } from '../live/page.ts';
import { Refused, type Action } from '../live/server.ts';
import { HeadView } from './headview.ts';
import { OutputView } from './outputview.ts';

export interface JobWidgetOptions {
  readonly page: LivePage;
  readonly rendermime: IRenderMimeRegistry;
  readonly bounds: JobViewOptions;
  readonly isTrusted: boolean;
  /** Show the job in a view of its own; null where it is in one. */
  readonly open: ((id: string) => void) | null;
}

const TICK_MS = 1000;
const MISSING: { readonly [why: string]: string } = { never: 'unknown', deleted: 'deleted' };

export class JobWidget extends Panel {
  constructor(id: string, options: JobWidgetOptions) {
    super();
    this.addClass('jp-tasks-job');
    this.node.dataset['job'] = id;
    this._options = options;
    this._isTrusted = options.isTrusted;
    this._view = options.page.view(id, options.bounds, () => this._drawSoon());
    const actions = {
      cancel: () => void this._act('cancel'),
      restart: () => void this._act('restart'),
      open: () => options.open?.(id),
      copyId: () => this._copy(id)
    };
    this._head = new HeadView(id, actions, options.open !== null);
    this._output = new OutputView(options.rendermime);
    this.addWidget(this._head);
    this.addWidget(this._output);
    this._seen = new IntersectionObserver(entries => this._look(entries), { rootMargin: '200px' });
    this._draw();
  }

  set isTrusted(value: boolean) {
    if (value !== this._isTrusted) {
      this._isTrusted = value;
      this._drawSoon();
    }
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._leave();
      super.dispose();
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._options.page.changed.connect(this._pageChanged, this);
    this._view.open();
    this._seen.observe(this.node);
  }

  protected override onBeforeDetach(message: Message): void {
    this._leave();
    super.onBeforeDetach(message);
  }

  private _leave(): void {
    this._seen.disconnect();
    this._options.page.changed.disconnect(this._pageChanged, this);
    this._view.close();
    this._isNear = this._isSeen = false;
    clearInterval(this._ticking);
    this._ticking = undefined;
    clearTimeout(this._drawing);
    this._drawing = undefined;
  }

  private _look(entries: IntersectionObserverEntry[]): void {
    this._isNear = entries[entries.length - 1]?.isIntersecting === true;
    this._pageChanged();
  }

  private _pageChanged(): void {
    this._say('');
    this._isSeen = this._isNear && !document.hidden;
    this._view.look(this._isSeen);
    this._drawSoon();
  }

  private _copy(id: string): void {
    Clipboard.copyToSystem(id);
    this._say(`Copied the id ${id}.`);
    this._draw();
  }

  private async _act(action: Action): Promise<void> {
    if (this._isBusy) {
      return;
    }
    this._isBusy = true;
    this._say('');
    this._draw();
    try {
      await this._options.page.server.act(this._view.id, action);
    } catch (error) {
      if (!(error instanceof Refused)) {
        throw error;
      }
      this._say(error.message);
    } finally {
      this._isBusy = false;
      this._draw();
    }
  }

  private _drawSoon(): void {
    const isFirst = this._isFirst;
    const isDue = this._drawing !== undefined && (this._drawsFirst || !isFirst);
    if (!this.isAttached || isDue) {
      return;
    }
    clearTimeout(this._drawing);
    this._drawsFirst = isFirst;
    this._drawing = window.setTimeout(() => {
      this._drawing = undefined;
      this._draw();
    }, this._pace.wait(performance.now(), isFirst));
  }

  /** Whether the job itself, or the first of its output, is there and not drawn yet. */
  private get _isFirst(): boolean {
    const { job, outputs } = this._view;
    return (!this._hasHead && job !== null) || (!this._hasOutput && outputs.blocks.length > 0);
  }

  private _draw(): void {
    if (this.isDisposed) {
      return;
    }
    const { job, outputs, isComplete } = this._view;
    const { link } = this._options.page;
    const began = performance.now();
    this.node.dataset['state'] = MISSING[this._view.missing ?? ''] ?? job?.state ?? 'loading';
    this.node.dataset['live'] = String(link.isLive && job !== null && this._view.missing === null);
    this.node.dataset['complete'] = String(isComplete);
    this._head.draw(this._view.missing === null ? job : null, this._isBusy, this._view.now);
    this._head.tell(this._words());
    // Who opens a job in a view of its own wants to see it all.
    const isInCell = this._options.open !== null;
    const isCompact = isInCell && job !== null && hasEnded(job) && job.state !== 'failed';
    this._output.draw(outputs.blocks, { isCompact, isTrusted: this._isTrusted });
    this._tick(job?.state === 'running' && this._isSeen);
    this._hasHead ||= job !== null;
    this._hasOutput ||= outputs.blocks.length > 0;
    this._pace.drew(began, performance.now());
  }

  private _tick(isTicking: boolean): void {
    if (isTicking && this._ticking === undefined) {
      this._ticking = window.setInterval(
        () => this._head.tick(this._view.job, this._view.now),
        TICK_MS
      );
    } else if (!isTicking) {
      clearInterval(this._ticking);
      this._ticking = undefined;
    }
  }

  /** What people should know besides: the worst first. */
  private _words(): string {
    const { id, missing, refusal, job } = this._view;
    const { link } = this._options.page;
    if (missing === 'never') {
      return `This server does not know job ${id}. It ran on another server, or was removed.`;
    }
    if (missing === 'deleted') {
      return `Job ${id} was deleted.`;
    }
    if (!link.isLive && this.isAttached) {
      // At the beginning it is a matter of moments: nothing should jump for that.
      return link.trouble ?? (job ? 'The connection is lost; trying again.' : '');
    }
    const isOfNow = this._note.version === job?.version;
    return (isOfNow && this._note.words) || refusal || '';
  }

  /** Said until the connection or the job is another: then it is no longer to the point. */
  private _say(words: string): void {
    this._note = { words, version: this._view.job?.version };
  }

  private readonly _options: JobWidgetOptions;
  private readonly _view: JobView;
  private readonly _head: HeadView;
  private readonly _output: OutputView;
  private readonly _seen: IntersectionObserver;
  private _isTrusted: boolean;
  private _isNear = false;
  private _isSeen = false;
  private _isBusy = false;
  private _note: { words: string; version: number | undefined } = { words: '', version: 0 };
  private readonly _pace = new Pace();
  private _hasHead = false;
  private _hasOutput = false;
  private _drawsFirst = false;
  private _drawing: number | undefined;
  private _ticking: number | undefined;
}
