/** The head of a job: its name, its state in words, how far it is, and what can be done. */

import { Widget } from '@lumino/widgets';

import { hasEnded, type Job } from '../core/job.ts';
import { fraction, icon, paceWords, plain, progressWords, stateWords, took } from '../core/words.ts';
import { button, made, say } from './dom.ts';

export interface Actions {
  cancel(): void;
  restart(): void;
  open(): void;
  copyId(): void;
}

const SHORT_ID = 8;

export class HeadView extends Widget {
  /** Where it cannot be opened elsewhere, there is no button for it. */
  constructor(id: string, actions: Actions, canOpen: boolean) {
    super();
    this._canOpen = canOpen;
    this.addClass('jp-tasks-head');
    const line = made('div', 'head-line', this.node);
    this._icon = made('span', 'head-icon', line);
    this._icon.setAttribute('aria-hidden', 'true');
    this._name = made('span', 'head-name', line);
    this._state = made('span', 'head-state', line);
    this._state.setAttribute('role', 'status');
    this._attempt = made('span', 'head-attempt', line);
    this._took = made('span', 'head-took', line);
    this._id = button('head-id', line, actions.copyId);
    this._id.title = `Copy the job's id, ${id}`;
    this._id.textContent = id.slice(0, SHORT_ID);
    const buttons = made('span', 'head-buttons', line);
    this._cancel = button('head-cancel', buttons, actions.cancel);
    this._restart = button('head-restart', buttons, actions.restart);
    this._restart.textContent = 'Restart';
    this._restart.title = 'Run the job again, as a further attempt';
    this._open = button('head-open', buttons, actions.open);
    this._open.textContent = 'Open';
    this._open.title = 'Show the job with more of its output in a view of its own';
    this._bar = made('div', 'head-progress', this.node);
    this._progress = made('progress', 'head-bar', this._bar);
    this._progress.max = 1;
    this._far = made('span', 'head-far', this._bar);
    this._message = made('div', 'head-message', this.node);
    this._words = made('div', 'head-words', this.node);
    this._words.setAttribute('role', 'status');
    this.draw(null, false, 0);
  }

  /** Draw the job as it is now; `isBusy`: something was asked for and is not answered yet. */
  draw(job: Job | null, isBusy: boolean, now: number): void {
    say(this._icon, job ? icon(job.state) : '');
    say(this._name, job ? plain(job.name) : '');
    this._name.title = this._name.textContent ?? '';
    say(this._state, job ? stateWords(job) : '');
    say(this._attempt, job && job.attempt > 1 ? `attempt ${job.attempt}` : '');
    this.tick(job, now);
    const isEnded = job !== null && hasEnded(job);
    const isAsked = job?.cancel_requested_at !== null && !isEnded;
    say(this._cancel, isAsked ? 'Kill' : 'Cancel');
    this._cancel.title = isAsked
      ? 'It was asked to end, and has time for that. Press again to end it at once'
      : 'Ask the job to end; pressed a second time, it is killed at once';
    this._show(this._cancel, job !== null && !isEnded);
    this._show(this._restart, isEnded);
    this._open.hidden = job === null || !this._canOpen;
    // Not disabled: that would take the keyboard away, which is to press it again.
    this._cancel.ariaDisabled = this._restart.ariaDisabled = String(isBusy);
    say(this._message, job ? plain(job.message) : '');
  }

  /** Draw what changes as time passes. */
  tick(job: Job | null, now: number): void {
    say(this._took, job ? took(job, now) : '');
    const part = job && !hasEnded(job) ? fraction(job) : null;
    const isShown = job !== null && job.progress !== null && !hasEnded(job);
    const far = isShown ? [progressWords(job), paceWords(job, now)].filter(Boolean).join(' · ') : '';
    this._bar.hidden = part === null && far === '';
    this._progress.hidden = part === null;
    this._progress.value = part ?? 0;
    this._progress.setAttribute('aria-label', 'Progress');
    this._progress.setAttribute('aria-valuetext', far);
    say(this._far, far);
  }

  /** Say what is wrong; nothing for nothing. */
  tell(words: string): void {
    say(this._words, words);
  }

  /** A button that goes leaves the keyboard to one that does no harm. */
  private _show(button: HTMLButtonElement, isShown: boolean): void {
    const isLeft = !isShown && button === document.activeElement;
    button.hidden = !isShown;
    if (isLeft) {
      this._id.focus({ preventScroll: true });
    }
  }

  private readonly _canOpen: boolean;
  private readonly _icon: HTMLElement;
  private readonly _name: HTMLElement;
  private readonly _state: HTMLElement;
  private readonly _attempt: HTMLElement;
  private readonly _took: HTMLElement;
  private readonly _id: HTMLButtonElement;
  private readonly _cancel: HTMLButtonElement;
  private readonly _restart: HTMLButtonElement;
  private readonly _open: HTMLButtonElement;
  private readonly _bar: HTMLElement;
  private readonly _progress: HTMLProgressElement;
  private readonly _far: HTMLElement;
  private readonly _message: HTMLElement;
  private readonly _words: HTMLElement;
}
