/** The plugins: what needs what. */

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import { LivePage } from './live/page.ts';
import { TasksServer } from './live/server.ts';
import { addOpening, OPEN } from './opening.ts';
import { rendererFactory } from './renderer.ts';
import { ILivePage } from './tokens.ts';

const live: JupyterFrontEndPlugin<LivePage> = {
  id: 'jupyter-tasks:live',
  description: 'The connection to jupyter_tasks that all views of the page share.',
  autoStart: true,
  provides: ILivePage,
  activate: () => new LivePage(new TasksServer())
};

const opening: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-tasks:opening',
  description: 'Opens a job in a view of its own.',
  autoStart: true,
  requires: [ILivePage, IRenderMimeRegistry],
  optional: [ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    page: LivePage,
    rendermime: IRenderMimeRegistry,
    restorer: ILayoutRestorer | null
  ) => addOpening(app, page, rendermime, restorer)
};

const renderer: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-tasks:renderer',
  description: 'Shows a job live in the output of a cell.',
  autoStart: true,
  requires: [ILivePage, IRenderMimeRegistry],
  activate: (app: JupyterFrontEnd, page: LivePage, rendermime: IRenderMimeRegistry) => {
    const open = (id: string): void => void app.commands.execute(OPEN, { id });
    rendermime.addFactory(rendererFactory({ page, rendermime, open }));
  }
};

export default [live, opening, renderer];
