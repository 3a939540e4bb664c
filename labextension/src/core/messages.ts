/** What goes over the WebSocket (see the documentation, "REST and streams"). */

import type { Job } from './job.ts';

export type Request =
  | {
      readonly type: 'watch';
      readonly id: string;
      readonly filter: { readonly ids: readonly string[] };
      /** People look at these jobs: kernels need not refresh what their cells show of them. */
      readonly view?: boolean;
    }
  | {
      readonly type: 'read';
      readonly id: string;
      readonly job: string;
      readonly cursor?: string;
      readonly tail?: number;
      readonly attempt?: number;
      readonly follow: boolean;
    }
  | { readonly type: 'stop'; readonly id: string }
  | { readonly type: 'ping' };

export type Answer =
  | { readonly type: 'snapshot'; readonly id: string; readonly jobs: readonly Job[]; readonly more: boolean }
  | {
      readonly type: 'live';
      readonly id: string;
      readonly seq: number;
      /** By the server's clock; older servers do not tell it. */
      readonly now?: number;
    }
  | { readonly type: 'job'; readonly id: string; readonly seq: number; readonly job: Job }
  | {
      readonly type: 'gone';
      readonly id: string;
      readonly seq: number;
      readonly job: string;
      readonly why: 'filter' | 'deleted';
    }
  | { readonly type: 'reset'; readonly id: string }
  | { readonly type: 'gap'; readonly id: string; readonly from: string; readonly to: string }
  | { readonly type: 'end'; readonly id: string; readonly cursor: string; readonly state: string }
  | { readonly type: 'error'; readonly id: string | null; readonly code: string; readonly message: string }
  | { readonly type: 'pong' };

/** The line at the head of a binary frame; records follow it. */
export interface OutputHead {
  readonly type: 'output';
  readonly id: string;
  readonly from: string;
  readonly cursor: string;
}

/** One watch or read; the link asks for it anew on each new connection. */
export interface Stream {
  /** What to ask for now; null for nothing. */
  request(): Request | null;
  answer(message: Answer): void;
  output?(head: OutputHead, records: Uint8Array): void;
}

const NEWLINE = 10;
const DECODER = new TextDecoder();

/** A binary frame's head, and the records behind it. */
export function split(frame: ArrayBuffer): { head: OutputHead; records: Uint8Array } {
  const bytes = new Uint8Array(frame);
  const newline = bytes.indexOf(NEWLINE);
  const head = JSON.parse(DECODER.decode(bytes.subarray(0, newline))) as OutputHead;
  return { head, records: bytes.subarray(newline + 1) };
}
