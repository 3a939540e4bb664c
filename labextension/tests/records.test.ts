import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RecordParser, type Record } from '../src/core/records.ts';

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();
const STREAM = ENCODER.encode(
  '{"k":"out","t":0.1,"n":12}\n{"k":"out"}\n\n' +
    '{"k":"progress","t":0.2,"value":3,"total":12}\n' +
    '{"k":"err","t":0.3,"n":0}\n\n' +
    '{"k":"display","t":0.4,"display_id":"a","n":2}\né\n'
);

function told(records: Record[]): string[] {
  return records.map(({ header, payload }) => `${header.k}:${DECODER.decode(payload)}`);
}

const ALL = ['out:{"k":"out"}\n', 'progress:', 'err:', 'display:é'];

test('records are found whole, whatever their bytes look like', () => {
  assert.deepEqual(told(new RecordParser().take(STREAM)), ALL);
});

test('records are found wherever the stream is cut', () => {
  const parser = new RecordParser();
  const found = [...STREAM].flatMap((_, at) => told(parser.take(STREAM.slice(at, at + 1))));
  assert.deepEqual(found, ALL);
});

test('what is no record is said to be none', () => {
  assert.throws(() => new RecordParser().take(ENCODER.encode('hello')), /No record starts at byte 0/);
});

test('a header that cannot be read costs its own record alone', () => {
  const stream = ENCODER.encode('{"k":"progress","t":1,"value":NaN}\n{"k":"a","t":NaN,"n":2}\n{}\n{"k":"out","t":1,"n":1}\nx\n');
  assert.deepEqual(told(new RecordParser().take(stream)), ['unreadable:', 'unreadable:{}', 'out:x']);
});
