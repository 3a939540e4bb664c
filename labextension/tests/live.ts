// Watches a job as a page does. Tells by lines of JSON on standard output what it sees, each time that
// this has changed, and takes orders on standard input: `look`, `look away`, `end`.

import { createInterface } from 'node:readline';

import { Link } from '../src/core/link.ts';
import type { Block } from '../src/core/outputs.ts';
import { JobView } from '../src/core/view.ts';
import { JobWatch } from '../src/core/watch.ts';

const [url = '', token = '', job = '', bounds = '{}'] = process.argv.slice(2);
const BOUNDS = {
  lines: 500,
  blocks: 200,
  tailBytes: 128 * 1024,
  richTailBytes: 8 * 1024 * 1024,
  floodBytes: 1024 * 1024
};

let received = 0;
const link = new Link({
  open: () => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}tasks/api/ws?token=${token}`);
    socket.addEventListener('message', ({ data }: { data: string | ArrayBuffer }) => {
      received += typeof data === 'string' ? data.length : data.byteLength;
    });
    return socket;
  },
  explain: () => Promise.resolve('no answer'),
  changed: tell
});
const options = { ...BOUNDS, ...(JSON.parse(bounds) as object) };
const view = new JobView(link, new JobWatch(link), job, options, tell);

function texts(block: Block): string[] {
  if (block.kind !== 'text') {
    return [block.kind === 'rich' ? JSON.stringify(block.output['data']) : `[${block.words}]`];
  }
  const { screen } = block.terminal;
  return Array.from({ length: screen.end - screen.first }, (_, row) =>
    screen
      .line(screen.first + row)
      .map(span => span.text)
      .join('')
  );
}

let last = '';
let looking = false;

function tell(): void {
  const told = JSON.stringify({
    live: link.isLive,
    looking,
    trouble: link.trouble,
    missing: view.missing,
    state: view.job?.state ?? null,
    attempt: view.job?.attempt ?? null,
    progress: view.job?.progress?.value ?? null,
    complete: view.isComplete,
    lines: view.outputs.blocks.flatMap(texts),
    received,
    heap: process.memoryUsage().heapUsed
  });
  if (told !== last) {
    last = told;
    process.stdout.write(`${told}\n`);
  }
}

function look(value: boolean): void {
  looking = value;
  view.look(value);
  tell();
}

const ORDERS: { [order: string]: () => void } = {
  look: () => look(true),
  'look away': () => look(false),
  end: () => {
    view.close();
    link.dispose();
  }
};

view.open();
const orders = createInterface({ input: process.stdin });
orders.on('line', line => ORDERS[line]?.());
orders.on('close', () => process.exit(0));
