import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Span } from '../src/core/screen.ts';
import { Terminal, type StreamName } from '../src/core/terminal.ts';

const ENCODER = new TextEncoder();

function spans(terminal: Terminal): Span[][] {
  const { first, end } = terminal.screen;
  return Array.from({ length: end - first }, (_, row) => [...terminal.screen.line(first + row)]);
}

function lines(terminal: Terminal): string[] {
  return spans(terminal).map(line => line.map(span => span.text).join(''));
}

function printed(text: string, maxLines = 100): Terminal {
  const terminal = new Terminal(maxLines);
  terminal.take('out', ENCODER.encode(text));
  return terminal;
}

const SHOWN: { [name: string]: [string, string[]] } = {
  'lines': ['a\nb\n', ['a', 'b']],
  'no newline at the end': ['a\nb', ['a', 'b']],
  'an empty line': ['a\n\nb\n', ['a', '', 'b']],
  'a carriage return writes over': ['10%\r20%\r100%\n', ['100%']],
  'what a carriage return does not reach stays': ['abcdef\rXY\n', ['XYcdef']],
  'windows lines': ['a\r\nb\r\n', ['a', 'b']],
  'backspace': ['ab\b\bX\n', ['Xb']],
  'erase to the end of the line': ['abcdef\rab\x1b[K\n', ['ab']],
  'erase the whole line': ['abc\x1b[2K\rx\n', ['x']],
  'erase up to here': ['abcdef\x1b[3D\x1b[1K\n', ['    ef']],
  'two bars that are rewritten': ['a 1\nb 1\n\x1b[2Aa 2\x1b[K\nb 2\x1b[K\n', ['a 2', 'b 2']],
  'columns': ['abc\x1b[2Gx\x1b[1Cy\n', ['axcy']],
  'titles and links': ['\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n', ['alink']],
  'other sequences and controls': ['a\x1b[?25l\x1b(B\x1b=\x07\x00b\n', ['ab']],
  'clear the screen': ['old\nolder\n\x1b[2J\x1b[Hnew\n', ['new']],
  'a lone escape at the end is no text': ['a\x1b', ['a']],
  'beyond the Latin alphabet': ['é漢😀\n', ['é漢😀']]
};

for (const [name, [text, shown]] of Object.entries(SHOWN)) {
  test(`shown as on a terminal: ${name}`, () => {
    assert.deepEqual(lines(printed(text)), shown);
  });

  test(`shown the same byte by byte: ${name}`, () => {
    const terminal = new Terminal(100);
    ENCODER.encode(text).forEach(byte => terminal.take('out', Uint8Array.of(byte)));
    assert.deepEqual(lines(terminal), shown);
  });
}

test('colours and weights stand with the text that they were chosen for', () => {
  const [line = []] = spans(printed('a\x1b[1;31mb\x1b[39mc\x1b[0md\x1b[38;5;200me\x1b[48;2;1;2;255mf\x1b[97mg'));
  const seen = line.map(({ text, style }) => [text, style.weights.join(), style.colour, style.ground]);
  assert.deepEqual(seen, [
    ['a', '', null, null],
    ['b', 'bold', 1, null],
    ['c', 'bold', null, null],
    ['d', '', null, null],
    ['e', '', 200, null],
    ['f', '', 200, '#0102ff'],
    ['g', '', 15, '#0102ff']
  ]);
});

test('both streams share the screen and keep their colours, and half a character, apart', () => {
  const terminal = new Terminal(100);
  const [first = 0, second = 0] = ENCODER.encode('é');
  const parts: [StreamName, Uint8Array][] = [
    ['out', ENCODER.encode('\x1b[32mgood ')],
    ['out', Uint8Array.of(first)],
    ['err', ENCODER.encode('bad ')],
    ['out', Uint8Array.of(second)]
  ];
  parts.forEach(([stream, bytes]) => terminal.take(stream, bytes));
  const [line = []] = spans(terminal);
  const seen = line.map(({ text, style }) => [text, style.isError, style.colour]);
  assert.deepEqual(seen, [
    ['good ', false, 2],
    ['bad ', true, null],
    ['é', false, 2]
  ]);
});

test('only the last lines are kept, and their numbers go on', () => {
  const text = Array.from({ length: 1000 }, (_, number) => `line ${number}\n`).join('');
  for (const terminal of [printed(text, 10), printed('', 10)]) {
    if (terminal.screen.end === 0) {
      text.split(/(?<=\n)/).forEach(line => terminal.take('out', ENCODER.encode(line)));
    }
    assert.deepEqual(lines(terminal).slice(-9), text.trimEnd().split('\n').slice(-9));
    assert.ok(terminal.screen.end - terminal.screen.first <= 10);
  }
});

test('a view is told which lines have changed', () => {
  const terminal = printed('a\nb\nc');
  assert.equal(terminal.screen.takeChanged(), 0);
  assert.ok(terminal.screen.takeChanged() >= terminal.screen.end);
  terminal.take('out', ENCODER.encode('\x1b[1AX'));
  assert.equal(terminal.screen.takeChanged(), 1);
});

test('one line without an end, and a sequence without one, fill no memory', () => {
  const terminal = new Terminal(10);
  for (let count = 0; count < 64; count++) {
    terminal.take('out', ENCODER.encode('x'.repeat(65_536)));
    terminal.take('err', ENCODER.encode(count ? '0'.repeat(65_536) : '\x1b]0;'));
  }
  assert.ok(lines(terminal).join('').length <= 10 * 4000);
});

test('a line whose colour changes with each character fills no page', () => {
  const colourful = [...'x'.repeat(3000)].map((x, at) => `\x1b[${31 + (at % 2)}m${x}`).join('');
  for (const text of [colourful, `${'y'.repeat(3000)}\r${colourful}`]) {
    const [line = []] = spans(printed(text));
    assert.equal(line.length, 400);
    assert.equal(line.map(span => span.text).join(''), 'x'.repeat(3000));
  }
});
