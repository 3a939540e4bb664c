/** What other plugins may ask for. */

import { Token } from '@lumino/coreutils';

import type { LivePage } from './live/page.ts';

export const ILivePage = new Token<LivePage>(
  'jupyter-tasks:ILivePage',
  'The connection to jupyter_tasks that all views of a page share.'
);
