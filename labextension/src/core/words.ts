/** Words about a job, for people: the same as on the command line. `now` is seconds since the epoch. */

import { duration, fixed, general, threeDigits } from './figures.ts';
import { hasEnded, type Job, type State } from './job.ts';

const ICONS: Record<State, string> = {
  scheduled: '◷',
  queued: '○',
  starting: '◔',
  running: '●',
  paused: '‖',
  succeeded: '✓',
  failed: '✗',
  cancelled: '⊘',
  lost: '?'
};

// Escape sequences, other control characters, and what turns the direction of writing.
const CONTROL =
  /\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** The text without what could disguise it. */
export function plain(text: string): string {
  return text.replace(CONTROL, ' ').trim();
}

export function icon(state: State): string {
  return ICONS[state] ?? '?';
}

/** The state in words, with its reason where that says more. */
export function stateWords(job: Job): string {
  const isWished = job.cancel_requested_at !== null && !hasEnded(job);
  const reason = isWished ? 'cancel asked' : job.state === 'failed' ? failure(job) : job.reason;
  return reason && reason !== 'user' ? `${job.state} (${plain(reason)})` : job.state;
}

function failure(job: Job): string {
  if (job.reason === 'exit') {
    return `exit ${job.exit_code}`;
  }
  return job.reason === 'signal' ? `signal ${job.signal}` : job.reason;
}

/** How much of the job is done, from 0 to 1; null where nobody can tell. */
export function fraction(job: Job): number | null {
  if (!job.progress || job.progress.value === null) {
    return null;
  }
  const total = job.progress.total ?? 1;
  return total > 0 ? Math.min(Math.max(job.progress.value / total, 0), 1) : null;
}

/** The figures of the job's progress: `3/12 25%`. */
export function figures(job: Job): string {
  if (!job.progress) {
    return '';
  }
  const { value, total } = job.progress;
  const parts = total && value !== null ? `${general(value)}/${general(total)}` : '';
  const part = fraction(job);
  const percent = part === null ? '' : `${fixed(part * 100, 0)}%`;
  return [parts, percent].filter(Boolean).join(' ');
}

/** The job's progress in words: `3/12 25% message`. */
export function progressWords(job: Job): string {
  const message = job.progress ? plain(job.progress.message) : '';
  return [figures(job), message].filter(Boolean).join(' ');
}

/** The pace since the attempt's start: `2.5/s, 40s left`; only a job that runs has one. */
export function paceWords(job: Job, now: number): string {
  const part = fraction(job);
  const { progress, started_at: started } = job;
  if (job.state !== 'running' || !part || !progress || started === null || now <= started) {
    return '';
  }
  const elapsed = now - started;
  const rate = progress.total ? `${threeDigits((progress.value ?? 0) / elapsed)}/s` : '';
  return [rate, `${duration((elapsed * (1 - part)) / part)} left`].filter(Boolean).join(', ');
}

/** How long the newest attempt has run. */
export function took(job: Job, now: number): string {
  return job.started_at === null ? '' : duration((job.ended_at ?? now) - job.started_at);
}
