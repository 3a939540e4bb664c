/** A job as the server tells it, as far as a view needs it: the field names are those of the wire. */

export type State =
  | 'scheduled'
  | 'queued'
  | 'starting'
  | 'running'
  | 'paused'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'lost';

export interface Progress {
  readonly value: number | null;
  /** Null where `value` is a share of 1. */
  readonly total: number | null;
  readonly message: string;
}

/** Times are seconds since the epoch. */
export interface Job {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly state: State;
  readonly reason: string;
  readonly message: string;
  readonly attempt: number;
  readonly version: number;
  readonly progress: Progress | null;
  readonly cancel_requested_at: number | null;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly exit_code: number | null;
  readonly signal: number | null;
}

const ENDED: ReadonlySet<State> = new Set<State>(['succeeded', 'failed', 'cancelled', 'lost']);

/** Whether nothing more will happen to the job unless somebody restarts it. */
export function hasEnded(job: Pick<Job, 'state'>): boolean {
  return ENDED.has(job.state);
}

const ID = /^[0-9a-f]{16}$/;

/** Whether it has the shape of a job's id; whatever else a document holds goes into no address. */
export function isJobId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value);
}
