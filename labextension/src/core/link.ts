/** One WebSocket for all watches and reads of a page. It comes back by itself, for as long as it is needed. */

import { split, type Answer, type Request, type Stream } from './messages.ts';

/** What the link needs of a WebSocket: browsers' own has it. */
export interface Socket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface LinkOptions {
  open(): Socket;
  /** Why no connection comes about, in words; asked after each failure. Null where nothing is known. */
  explain(): Promise<string | null>;
  /** Called when `trouble` or `isLive` has changed. */
  changed(): void;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
/** Of a connection that hangs nobody tells us: ask, and take silence for its end. */
const PING_MS = 15_000;
const ANSWER_WITHIN_MS = 10_000;
/** How long a link stays that nobody needs: views come and go together. */
const IDLE_MS = 5000;

type Timer = ReturnType<typeof setTimeout>;

export class Link {
  constructor(options: LinkOptions) {
    this._options = options;
  }

  /** Whether a connection is there. */
  isLive = false;
  /** Why there is none, for people; null as long as that may be a matter of moments. */
  trouble: string | null = null;

  /** Begin a watch or a read, or ask for it anew; it is asked for again on each new connection. */
  begin(id: string, stream: Stream): void {
    this._streams.set(id, stream);
    clearTimeout(this._idle);
    if (this._socket === null && this._waiting === undefined) {
      this._connect();
    } else if (this.isLive) {
      this._ask(stream);
    }
  }

  end(id: string): void {
    if (this._streams.delete(id) && this.isLive) {
      this._send({ type: 'stop', id });
    }
    if (this._streams.size === 0) {
      clearTimeout(this._idle);
      this._idle = setTimeout(() => this._rest(), IDLE_MS);
    }
  }

  /** Try now: the network is back, or somebody looks again. */
  hurry(): void {
    if (this._waiting !== undefined) {
      this._connect();
    } else if (this.isLive) {
      this._ping();
    }
  }

  dispose(): void {
    this._streams.clear();
    this._rest();
  }

  private _connect(): void {
    clearTimeout(this._waiting);
    this._waiting = undefined;
    const socket = this._options.open();
    socket.binaryType = 'arraybuffer';
    this._socket = socket;
    // One that neither opens nor fails is given up, too.
    this._listen(ANSWER_WITHIN_MS);
    socket.onopen = () => this._opened(socket);
    socket.onmessage = (event: { data: string | ArrayBuffer }) => this._heard(socket, event.data);
    socket.onclose = () => this._lost(socket);
    socket.onerror = () => undefined; // a close follows
  }

  private _opened(socket: Socket): void {
    if (socket !== this._socket) {
      return;
    }
    this._failures = 0;
    this._became(true, null);
    this._streams.forEach(stream => this._ask(stream));
    this._listen(null);
  }

  private _heard(socket: Socket, data: string | ArrayBuffer): void {
    if (socket !== this._socket) {
      return;
    }
    this._isHeard = true;
    if (typeof data !== 'string') {
      const { head, records } = split(data);
      this._streams.get(head.id)?.output?.(head, records);
      return;
    }
    const message = JSON.parse(data) as Answer;
    if (message.type !== 'pong' && message.id !== null) {
      this._streams.get(message.id)?.answer(message);
    }
  }

  private _lost(socket: Socket): void {
    if (socket !== this._socket) {
      return;
    }
    this._socket = null;
    clearTimeout(this._beat);
    this._became(false, this.trouble);
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this._failures++, LONGEST_WAIT_MS);
    // Not all pages of a hub at the same moment.
    this._waiting = setTimeout(() => this._connect(), wait * (0.75 + Math.random() / 2));
    if (this._failures > 1 && !this._isExplaining) {
      void this._explain();
    }
  }

  /** One question at a time: a server that hangs answers none of them. */
  private async _explain(): Promise<void> {
    this._isExplaining = true;
    const trouble = await this._options.explain();
    this._isExplaining = false;
    if (!this.isLive && this._streams.size > 0) {
      this._became(false, trouble ?? this.trouble);
    }
  }

  /** Ping after a while, or give up after `withinMs` where nothing comes at all. */
  private _listen(withinMs: number | null): void {
    clearTimeout(this._beat);
    this._isHeard = false;
    if (withinMs === null) {
      this._beat = setTimeout(() => this._ping(), PING_MS);
      return;
    }
    this._beat = setTimeout(() => {
      if (this._isHeard) {
        this._listen(null);
      } else {
        this._giveUp();
      }
    }, withinMs);
  }

  private _ping(): void {
    this._send({ type: 'ping' });
    this._listen(ANSWER_WITHIN_MS);
  }

  private _giveUp(): void {
    const socket = this._socket;
    if (socket !== null) {
      socket.close();
      this._lost(socket); // the close of a dead connection takes its time
    }
  }

  private _rest(): void {
    clearTimeout(this._idle);
    clearTimeout(this._waiting);
    clearTimeout(this._beat);
    this._waiting = undefined;
    const socket = this._socket;
    this._socket = null;
    this._became(false, null);
    socket?.close();
  }

  private _became(isLive: boolean, trouble: string | null): void {
    if (isLive !== this.isLive || trouble !== this.trouble) {
      this.isLive = isLive;
      this.trouble = trouble;
      this._options.changed();
    }
  }

  private _ask(stream: Stream): void {
    const request = stream.request();
    if (request !== null) {
      this._send(request);
    }
  }

  private _send(request: Request): void {
    this._socket?.send(JSON.stringify(request));
  }

  private readonly _options: LinkOptions;
  private readonly _streams = new Map<string, Stream>();
  private _socket: Socket | null = null;
  private _failures = 0;
  private _isHeard = false;
  private _isExplaining = false;
  private _waiting: Timer | undefined;
  private _beat: Timer | undefined;
  private _idle: Timer | undefined;
}
