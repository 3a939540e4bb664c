/** What a document says of a job, `{"version": 1, "id": …}`, shown live from the server. */

import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Panel, Widget } from '@lumino/widgets';

import { isJobId } from './core/job.ts';
import type { LivePage } from './live/page.ts';
import { JobWidget } from './view/jobview.ts';

export const MIME = 'application/vnd.jupyter-tasks.job+json';
/** Before HTML, which has 50. */
const RANK = 40;
const BOUNDS = {
  lines: 500,
  blocks: 200,
  tailBytes: 128 * 1024,
  richTailBytes: 8 * 1024 * 1024,
  floodBytes: 1024 * 1024
};

export interface RendererOptions {
  readonly page: LivePage;
  readonly rendermime: IRenderMimeRegistry;
  open(id: string): void;
}

/** The factory of our renderer; safe, as nothing in the document is more than an id. */
export function rendererFactory(options: RendererOptions): IRenderMime.IRendererFactory {
  return {
    safe: true,
    mimeTypes: [MIME],
    defaultRank: RANK,
    createRenderer: settings => new JobRenderer(options, settings)
  };
}

class JobRenderer extends Panel implements IRenderMime.IRenderer {
  constructor(options: RendererOptions, settings: IRenderMime.IRendererOptions) {
    super();
    this.addClass('jp-tasks-renderer');
    this._options = options;
    this._settings = settings;
  }

  /** Called for every update of the same output, too: what is shown of the same job stays. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const { id, words } = read(model.data[MIME]);
    if (this._job !== null && id === this._id) {
      this._job.isTrusted = model.trusted;
      return Promise.resolve();
    }
    this._id = id;
    this._job = id === null ? null : this._made(id, model.trusted);
    const shown = this._job ?? remark(words);
    this.widgets.slice().forEach(widget => widget.dispose());
    this.addWidget(shown);
    return Promise.resolve();
  }

  private _made(id: string, isTrusted: boolean): JobWidget {
    const { page, rendermime, open } = this._options;
    const { resolver, linkHandler, sanitizer } = this._settings;
    return new JobWidget(id, {
      page,
      rendermime: rendermime.clone({
        sanitizer,
        ...(resolver ? { resolver } : {}),
        ...(linkHandler ? { linkHandler } : {})
      }),
      bounds: BOUNDS,
      isTrusted,
      open
    });
  }

  private readonly _options: RendererOptions;
  private readonly _settings: IRenderMime.IRendererOptions;
  private _job: JobWidget | null = null;
  private _id: string | null = null;
}

/** The id in the document, and no more: an address would lead to somebody else's server. */
function read(data: unknown): { id: string | null; words: string } {
  const { version, id } = (data ?? {}) as { version?: unknown; id?: unknown };
  if (version !== 1) {
    return { id: null, words: 'This output was made by a newer jupyter_tasks than this page has.' };
  }
  return { id: isJobId(id) ? id : null, words: 'This output names no job.' };
}

function remark(words: string): Widget {
  const widget = new Widget();
  widget.addClass('jp-tasks-remark');
  widget.node.textContent = words;
  return widget;
}
