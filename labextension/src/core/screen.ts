/** The last lines of a text that a program writes as on a terminal: it may go back and write over them. */

import type { Style } from './style.ts';

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Line = readonly Span[];

/** What is longer goes on in a further line, so that one line cannot fill the memory. */
const MAX_COLUMNS = 4000;
/** What changes its colours more often goes on in the last one: each span is an element of the page. */
const MAX_SPANS = 400;

/** Lines are numbered from the first that was ever written; the oldest are forgotten. */
export class Screen {
  /** Keeps so many lines. */
  constructor(maxLines: number) {
    this.maxLines = maxLines;
  }

  readonly maxLines: number;

  /** The number of the first line that is kept. */
  get first(): number {
    return this._first;
  }

  /** One past the number of the last line; an empty last line does not count. */
  get end(): number {
    const last = this._lines[this._lines.length - 1];
    return this._first + this._lines.length - (last?.length ? 0 : 1);
  }

  line(number: number): Line {
    return this._lines[number - this._first] ?? [];
  }

  /** The first line that has changed since the last call; `end` or beyond where none has. */
  takeChanged(): number {
    const changed = Math.max(this._changed, this._first);
    this._changed = this._first + this._lines.length;
    return changed;
  }

  /** Forget all lines: so many are still to come that none of them will be kept. */
  skip(): void {
    this._first += this._lines.length;
    this._lines = [[]];
    this._row = this._column = 0;
    this._changed = this._first;
  }

  /** Write text that holds no control characters. */
  write(text: string, style: Style): void {
    let at = 0;
    while (at < text.length) {
      if (this._column >= MAX_COLUMNS) {
        this.newLine();
        this.column(0);
      }
      const part = text.slice(at, at + MAX_COLUMNS - this._column);
      this._put(part, style);
      at += part.length;
    }
  }

  /** To the line below, its first column: what terminals and programs agree on for `\n`. */
  newLine(): void {
    this._column = 0;
    this.down(1);
  }

  /** Down so many lines in the same column; lines that are not there are made. */
  down(count: number): void {
    this._row += Math.min(count, this.maxLines);
    while (this._row >= this._lines.length) {
      this._lines.push([]);
      this._touch(this._lines.length - 1);
    }
    const surplus = this._lines.length - this.maxLines;
    if (surplus > 0) {
      this._lines.splice(0, surplus);
      this._first += surplus;
      this._row -= surplus;
    }
  }

  up(count: number): void {
    this._row = Math.max(0, this._row - count);
  }

  /** To this column, counted from 0. */
  column(number: number): void {
    this._column = Math.min(Math.max(number, 0), MAX_COLUMNS - 1);
  }

  /** So many columns to the right, or to the left. */
  move(count: number): void {
    this.column(this._column + count);
  }

  /** Erase the line from here (0), up to here (1), or the whole of it (2). */
  eraseLine(mode: number): void {
    const line = this._lines[this._row] ?? [];
    const blank = line[0] && mode === 1 ? [{ ...line[0], text: ' '.repeat(this._column + 1) }] : [];
    const parts = {
      0: () => cut(line, 0, this._column),
      1: () => [...blank, ...cut(line, this._column + 1)],
      2: () => []
    };
    this._lines[this._row] = parts[mode as 0 | 1 | 2]?.() ?? line;
    this._touch(this._row);
  }

  /** Erase what is below (0) or everything that is kept (2, 3). */
  erase(mode: number): void {
    if (mode === 0) {
      this.eraseLine(0);
      this._lines.length = this._row + 1;
    } else if (mode >= 2) {
      this._lines = [[]];
      this._row = this._column = 0;
      this._touch(0);
    }
  }

  private _put(text: string, style: Style): void {
    const line = this._lines[this._row] ?? [];
    const length = size(line);
    const last = line[line.length - 1];
    const isLike = last?.style.key === style.key || line.length >= MAX_SPANS;
    if (this._column === length && last !== undefined && isLike) {
      line[line.length - 1] = { text: last.text + text, style: last.style };
    } else if (this._column === length) {
      line.push({ text, style });
    } else {
      const pad = this._column > length ? [{ text: ' '.repeat(this._column - length), style }] : [];
      const rest = cut(line, this._column + text.length);
      const spans = [...cut(line, 0, this._column), ...pad, { text, style }, ...rest];
      this._lines[this._row] = bounded(spans);
    }
    this._column += text.length;
    this._touch(this._row);
  }

  private _touch(row: number): void {
    this._changed = Math.min(this._changed, this._first + row);
  }

  private _lines: Span[][] = [[]];
  private _first = 0;
  private _changed = 0;
  private _row = 0;
  private _column = 0;
}

function size(line: Line): number {
  return line.reduce((sum, span) => sum + span.text.length, 0);
}

/** The line with all that is too many in one span. */
function bounded(line: Span[]): Span[] {
  const [next, ...rest] = line.slice(MAX_SPANS - 1);
  if (next === undefined || rest.length === 0) {
    return line;
  }
  const text = next.text + rest.map(span => span.text).join('');
  return [...line.slice(0, MAX_SPANS - 1), { ...next, text }];
}

/** The part of a line between two columns. */
function cut(line: Line, from: number, to = Infinity): Span[] {
  const spans: Span[] = [];
  let at = 0;
  for (const { text, style } of line) {
    const kept = text.slice(Math.max(0, from - at), Math.max(0, to - at));
    if (kept) {
      spans.push({ text: kept, style });
    }
    at += text.length;
  }
  return spans;
}
