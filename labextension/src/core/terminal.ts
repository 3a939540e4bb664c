/** Reads what a program prints, as bytes in any pieces, and writes it to a screen as a terminal would. */

import { Screen } from './screen.ts';
import { plainStyle, styledBy, type Style } from './style.ts';

const NEWLINE = 10;
/** A sequence that is not whole by then is none. */
const MAX_SEQUENCE = 4096;
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f\x9b]/g;
// CSI (1: parameters, 2: verb), OSC and the like up to their end, and the short ones.
const SEQUENCE =
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-WYZ\\`-~]/y;
// A sequence of which only the beginning is there.
const BEGINNING = /^(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[\]PX^_][^\x07\x1b]*\x1b?|\x1b[ -/]*)$/;

export type StreamName = 'out' | 'err';

/** Both streams of a program on one screen; each keeps its own style and half of a character. */
export class Terminal {
  constructor(maxLines: number) {
    this.screen = new Screen(maxLines);
    this._out = new Writer(this.screen, plainStyle(false));
    this._err = new Writer(this.screen, plainStyle(true));
  }

  readonly screen: Screen;

  take(stream: StreamName, bytes: Uint8Array): void {
    (stream === 'out' ? this._out : this._err).take(bytes);
  }

  private readonly _out: Writer;
  private readonly _err: Writer;
}

class Writer {
  constructor(screen: Screen, style: Style) {
    this._screen = screen;
    this._plain = this._style = style;
  }

  take(bytes: Uint8Array): void {
    const start = startOfLines(bytes, this._screen.maxLines);
    if (start > 0) {
      // More lines than are kept follow: what stands before them need not even be decoded.
      this._decoder = new TextDecoder();
      this._pending = '';
      this._screen.skip();
    }
    const text = this._pending + this._decoder.decode(bytes.subarray(start), { stream: true });
    this._pending = '';
    this._write(text);
  }

  private _write(text: string): void {
    let at = 0;
    while (at < text.length) {
      CONTROL.lastIndex = at;
      const found = CONTROL.exec(text)?.index ?? text.length;
      if (found > at) {
        this._screen.write(text.slice(at, found), this._style);
      }
      if (found === text.length) {
        return;
      }
      at = this._control(text, found);
    }
  }

  /** Do what the control character there says; where the text goes on. */
  private _control(text: string, at: number): number {
    const character = text[at];
    if (character === '\x1b' || character === '\x9b') {
      return this._sequence(text, at);
    }
    if (character === '\n') {
      this._screen.newLine();
    } else if (character === '\r') {
      this._screen.column(0);
    } else if (character === '\b') {
      this._screen.move(-1);
    }
    return at + 1;
  }

  private _sequence(text: string, at: number): number {
    SEQUENCE.lastIndex = at;
    const match = SEQUENCE.exec(text);
    if (match !== null) {
      if (match[2] !== undefined) {
        this._obey(match[2], match[1] ?? '');
      }
      return SEQUENCE.lastIndex;
    }
    if (text.length - at <= MAX_SEQUENCE && BEGINNING.test(text.slice(at))) {
      this._pending = text.slice(at);
      return text.length;
    }
    return at + 1;
  }

  private _obey(verb: string, parameters: string): void {
    const screen = this._screen;
    const number = Number.parseInt(parameters, 10);
    const count = Math.min(number || 1, screen.maxLines);
    const verbs: { readonly [verb: string]: () => void } = {
      m: () => this._restyle(parameters),
      A: () => screen.up(count),
      B: () => screen.down(count),
      C: () => screen.move(number || 1),
      D: () => screen.move(-(number || 1)),
      E: () => (screen.column(0), screen.down(count)),
      F: () => (screen.column(0), screen.up(count)),
      G: () => screen.column((number || 1) - 1),
      J: () => screen.erase(number || 0),
      K: () => screen.eraseLine(number || 0)
    };
    verbs[verb]?.();
  }

  private _restyle(parameters: string): void {
    if (/^[0-9;:]*$/.test(parameters)) {
      this._style = /^[0;]*$/.test(parameters) ? this._plain : styledBy(this._style, parameters);
    }
  }

  private readonly _screen: Screen;
  private readonly _plain: Style;
  private _style: Style;
  private _decoder = new TextDecoder();
  private _pending = '';
}

/** Where the last so many lines begin; 0 where there are not more. */
function startOfLines(bytes: Uint8Array, count: number): number {
  let at = bytes.length;
  for (let lines = 0; lines <= count; lines++) {
    at = bytes.lastIndexOf(NEWLINE, at - 1);
    if (at <= 0) {
      return 0;
    }
  }
  return at + 1;
}
