import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Outputs } from '../src/core/outputs.ts';
import type { Header } from '../src/core/records.ts';

const ENCODER = new TextEncoder();

function take(outputs: Outputs, header: Partial<Header>, text = ''): void {
  outputs.take({ header: { k: '', t: 0, ...header }, payload: ENCODER.encode(text) });
}

function display(outputs: Outputs, word: string, id?: string, kind = 'display'): void {
  const data = JSON.stringify({ output_type: 'display_data', data: { 'text/plain': word } });
  take(outputs, id === undefined ? { k: kind } : { k: kind, display_id: id }, data);
}

function shown(outputs: Outputs): string[] {
  return outputs.blocks.map(block => {
    switch (block.kind) {
      case 'text':
        return `text ${block.terminal.screen.line(block.terminal.screen.first)[0]?.text}`;
      case 'rich':
        return `rich ${(block.output['data'] as { 'text/plain': string })['text/plain']}`;
      case 'remark':
        return block.words;
    }
  });
}

function outputs(blocks = 100): Outputs {
  return new Outputs({ lines: 100, blocks });
}

test('text and rich outputs stand in the order in which they came', () => {
  const all = outputs();
  take(all, { k: 'out' }, 'a');
  take(all, { k: 'err' }, 'b');
  display(all, 'plot');
  take(all, { k: 'out' }, 'c');
  assert.deepEqual(shown(all), ['text a', 'rich plot', 'text c']);
});

test('an update changes every output of its display id, where it stands', () => {
  const all = outputs();
  display(all, 'one', 'x');
  display(all, 'two');
  display(all, 'three', 'x');
  const keys = all.blocks.map(block => block.key);
  display(all, 'new', 'x', 'update');
  display(all, 'lost', 'y', 'update');
  assert.deepEqual(shown(all), ['rich new', 'rich two', 'rich new']);
  assert.deepEqual(all.blocks.map(block => block.key), keys);
});

test('cleared at once, or with the next output', () => {
  const all = outputs();
  display(all, 'one');
  take(all, { k: 'clear', wait: true });
  assert.deepEqual(shown(all), ['rich one']);
  display(all, 'two');
  assert.deepEqual(shown(all), ['rich two']);
  take(all, { k: 'clear', wait: false });
  assert.deepEqual(shown(all), []);
});

test('the oldest are forgotten, and that is known', () => {
  const all = outputs(3);
  ['a', 'b', 'c'].forEach(word => display(all, word));
  assert.equal(all.isCut, false);
  display(all, 'd');
  assert.deepEqual(shown(all), ['rich b', 'rich c', 'rich d']);
  assert.equal(all.isCut, true);
});

test('output that a full disk could not take is told', () => {
  const all = outputs();
  take(all, { k: 'note', code: 'output_lost' }, '5 bytes.');
  take(all, { k: 'note', code: 'bad_report' }, 'not for readers');
  take(all, { k: 'usage', rss_bytes: 1 });
  assert.deepEqual(shown(all), ['Some output is lost: 5 bytes.']);
});

test('what is no output is shown as an error in its place', () => {
  for (const payload of ['{"data": NaN}', '[]', 'null', '{"output_type": 3}']) {
    const all = outputs();
    take(all, { k: 'display' }, payload);
    const [block] = all.blocks;
    assert.ok(block?.kind === 'rich');
    assert.match(String(block.output['text']), /An output cannot be shown/);
  }
});

test('of a widget, whose kernel has gone, what it has left is shown', () => {
  const all = outputs();
  const data = {
    'application/vnd.jupyter.widget-view+json': { model_id: 'x' },
    'text/plain': 'IntSlider(value=3)'
  };
  take(all, { k: 'display' }, JSON.stringify({ output_type: 'display_data', data }));
  const [block] = all.blocks;
  assert.ok(block?.kind === 'rich');
  assert.deepEqual(block.output['data'], { 'text/plain': 'IntSlider(value=3)' });
});
