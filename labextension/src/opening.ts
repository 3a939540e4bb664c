/** A view of its own for a job, with more of its output: a tab where there are tabs. */

import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import type { LivePage } from './live/page.ts';
import { JobWidget } from './view/jobview.ts';

export const OPEN = 'jupyter-tasks:open-job';
const NAMESPACE = 'jupyter-tasks-job';
const BOUNDS = {
  lines: 10_000,
  blocks: 1000,
  tailBytes: 4 * 1024 * 1024,
  richTailBytes: 64 * 1024 * 1024,
  floodBytes: 8 * 1024 * 1024
};
const ID = /^[0-9a-f]{16}$/;

/** The command that opens a job (`{"id": …}`), and what brings its views back after a reload. */
export function addOpening(
  app: JupyterFrontEnd,
  page: LivePage,
  rendermime: IRenderMimeRegistry,
  restorer: ILayoutRestorer | null
): void {
  const tracker = new WidgetTracker<MainAreaWidget<JobWidget>>({ namespace: NAMESPACE });
  app.commands.addCommand(OPEN, {
    label: 'Open Job',
    execute: args => {
      const id = String(args['id']);
      if (!ID.test(id)) {
        throw new Error(`${JSON.stringify(id)} is no job's id.`);
      }
      const known = tracker.find(widget => widget.id === `${NAMESPACE}-${id}`);
      const widget = known ?? made(id, page, rendermime);
      if (!widget.isAttached) {
        app.shell.add(widget, area(app));
        void tracker.add(widget);
      }
      app.shell.activateById(widget.id);
    }
  });
  if (restorer !== null) {
    void restorer.restore(tracker, {
      command: OPEN,
      args: widget => ({ id: idOf(widget) }),
      name: idOf
    });
  }
}

/** Notebook 7 has room for one document on a page: there the view goes below it. */
function area(app: JupyterFrontEnd): string {
  return app.name === 'Jupyter Notebook' ? 'down' : 'main';
}

function idOf(widget: MainAreaWidget<JobWidget>): string {
  return widget.id.slice(NAMESPACE.length + 1);
}

function made(
  id: string,
  page: LivePage,
  rendermime: IRenderMimeRegistry
): MainAreaWidget<JobWidget> {
  // Opened by a person, and what it shows is that person's own: trusted as a console is.
  const job = new JobWidget(id, { page, rendermime, bounds: BOUNDS, isTrusted: true, open: null });
  job.addClass('jp-tasks-mod-full');
  const widget = new MainAreaWidget({ content: job });
  widget.id = `${NAMESPACE}-${id}`;
  widget.title.label = `Job ${id.slice(0, 8)}`;
  widget.title.caption = `Job ${id}`;
  widget.title.closable = true;
  return widget;
}
