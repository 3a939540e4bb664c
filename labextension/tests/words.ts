// Says of each line on standard input, a JSON list of a job and the present time, what a cell would say of it.

import { createInterface } from 'node:readline';

import type { Job } from '../src/core/job.ts';
import { icon, paceWords, plain, progressWords, stateWords, took } from '../src/core/words.ts';

createInterface({ input: process.stdin }).on('line', line => {
  const [job, now] = JSON.parse(line) as [Job, number];
  const told = [
    plain(job.name),
    icon(job.state),
    stateWords(job),
    progressWords(job),
    paceWords(job, now),
    took(job, now)
  ];
  process.stdout.write(`${JSON.stringify(told)}\n`);
});
