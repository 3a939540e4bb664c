/** A view of its own for a job, with more of its output: a tab where there are tabs. */

import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { TabPanel } from '@lumino/widgets';

import { isJobId } from './core/job.ts';
import type { LivePage } from './live/page.ts';
import { JobWidget } from './view/jobview.ts';

export const OPEN = 'jupyter-tasks:open-job';
const NAMESPACE = 'jupyter-tasks-job';
const BOUNDS = {
  lines: 3000,
  blocks: 1000,
  tailBytes: 1024 * 1024,
  richTailBytes: 64 * 1024 * 1024,
  floodBytes: 1024 * 1024
};

/** Names a job in the address of Notebook 7's file browser, which then shows it in a further tab. */
const PARAMETER = 'jupyter-tasks-job';

type Tab = MainAreaWidget<JobWidget>;

/** The command that opens a job (`{"id": …}`), and what brings its views back after a reload. */
export function addOpening(
  app: JupyterFrontEnd,
  page: LivePage,
  rendermime: IRenderMimeRegistry,
  restorer: ILayoutRestorer | null
): void {
  const tracker = new WidgetTracker<Tab>({ namespace: NAMESPACE });
  const open = (id: string): void => {
    const known = tracker.find(widget => idOf(widget) === id);
    const tab = known ?? made(id, page, rendermime);
    if (known === undefined) {
      void tracker.add(tab);
    }
    show(app, tab);
  };
  app.commands.addCommand(OPEN, { label: 'Open Job', execute: args => open(checked(args['id'])) });
  if (restorer !== null) {
    void restorer.restore(tracker, {
      command: OPEN,
      args: widget => ({ id: idOf(widget) }),
      name: idOf
    });
  }
  const asked = new URLSearchParams(window.location.search).get(PARAMETER);
  if (isJobId(asked) && isNotebook(app)) {
    void app.restored.then(() => open(asked));
  }
}

function checked(id: unknown): string {
  if (!isJobId(id)) {
    throw new Error(`${JSON.stringify(id)} is no job's id.`);
  }
  return id;
}

/** In Notebook 7 a page shows one document; there the tab is one of the file browser's own page. */
function show(app: JupyterFrontEnd, tab: Tab): void {
  if (!isNotebook(app)) {
    if (!tab.isAttached) {
      app.shell.add(tab, 'main');
    }
    app.shell.activateById(tab.id);
    return;
  }
  const tabs = [...app.shell.widgets('main')].find(widget => widget instanceof TabPanel);
  if (tabs === undefined) {
    const query = URLExt.objectToQueryString({ [PARAMETER]: idOf(tab) });
    window.open(URLExt.join(PageConfig.getBaseUrl(), 'tree') + query, `${NAMESPACE}-${idOf(tab)}`);
    tab.dispose();
    return;
  }
  tabs.addWidget(tab);
  tabs.currentWidget = tab;
}

function isNotebook(app: JupyterFrontEnd): boolean {
  return app.name === 'Jupyter Notebook';
}

function idOf(widget: Tab): string {
  return widget.id.slice(NAMESPACE.length + 1);
}

function made(
  id: string,
  page: LivePage,
  rendermime: IRenderMimeRegistry
): Tab {
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
