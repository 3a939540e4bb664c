/** Records: a header, one line of JSON, and, where the header says `n`, as many raw bytes and a newline. */

export interface Header {
  readonly k: string;
  readonly t: number;
  readonly n?: number;
  readonly display_id?: string;
  readonly wait?: boolean;
  readonly code?: string;
  readonly [field: string]: unknown;
}

export interface Record {
  readonly header: Header;
  readonly payload: Uint8Array;
}

const NEWLINE = 10;
const BRACE = 0x7b;
const NOTHING = new Uint8Array(0);

/** Takes a stream of records in pieces that may be cut anywhere. */
export class RecordParser {
  /** The whole records of what was left and this piece. Throws where no record can start. */
  take(piece: Uint8Array): Record[] {
    const bytes = this._rest.length ? joined(this._rest, piece) : piece;
    const records: Record[] = [];
    let at = 0;
    for (;;) {
      const found = this._one(bytes, at);
      if (found === null) {
        break;
      }
      records.push(found.record);
      at = found.end;
    }
    // A copy: what is left must not keep the whole piece in memory.
    this._rest = bytes.slice(at);
    return records;
  }

  private _one(bytes: Uint8Array, at: number): { record: Record; end: number } | null {
    if (at < bytes.length && bytes[at] !== BRACE) {
      throw new Error(`No record starts at byte ${at}.`);
    }
    const newline = bytes.indexOf(NEWLINE, at);
    if (newline < 0) {
      return null;
    }
    const header = read(this._ascii.decode(bytes.subarray(at, newline)));
    if (header.n === undefined) {
      return { record: { header, payload: NOTHING }, end: newline + 1 };
    }
    const end = newline + 1 + header.n;
    if (end >= bytes.length) {
      return null;
    }
    return { record: { header, payload: bytes.subarray(newline + 1, end) }, end: end + 1 };
  }

  private _rest = NOTHING;
  private readonly _ascii = new TextDecoder();
}

/** A header that is no JSON for us (`NaN` is some elsewhere) still tells how long its record is. */
function read(line: string): Header {
  try {
    return JSON.parse(line) as Header;
  } catch {
    const size = /"n":(\d+)\}$/.exec(line);
    return { k: 'unreadable', t: 0, ...(size ? { n: Number(size[1]) } : {}) };
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Where a reader goes on: a byte of an attempt's output. */
export interface Cursor {
  readonly attempt: number;
  readonly byte: number;
}

export function parseCursor(text: string): Cursor {
  const match = /^(\d+)\.(\d+)$/.exec(text);
  if (match === null) {
    throw new Error(`${JSON.stringify(text)} is no cursor.`);
  }
  return { attempt: Number(match[1]), byte: Number(match[2]) };
}
