/** All outputs of a job below each other, in their order; what stays is kept as it is on the page. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Panel, Widget } from '@lumino/widgets';

import type { Block } from '../core/outputs.ts';
import { following } from './dom.ts';
import { RichView } from './richview.ts';
import { TextView } from './textview.ts';

export interface Manner {
  /** Of longer text only the summary, until somebody asks for it. */
  readonly isCompact: boolean;
  readonly isTrusted: boolean;
}

export class OutputView extends Panel {
  constructor(rendermime: IRenderMimeRegistry) {
    super();
    this.addClass('jp-tasks-output');
    this._rendermime = rendermime;
  }

  draw(blocks: readonly Block[], how: Manner): void {
    // In a view of its own all of it is scrolled, in a cell each text by itself.
    following(this.node, () => this._draw(blocks, how));
  }

  private _draw(blocks: readonly Block[], how: Manner): void {
    const keys = new Set(blocks.map(block => block.key));
    this._views.forEach((view, key) => {
      if (!keys.has(key)) {
        view.dispose();
        this._views.delete(key);
      }
    });
    for (const block of blocks) {
      const view = this._views.get(block.key) ?? this._made(block);
      if (block.kind === 'text') {
        (view as TextView).draw(how.isCompact);
      } else if (block.kind === 'rich') {
        (view as RichView).draw(block.output, how.isTrusted);
      }
    }
  }

  /** New blocks always come behind those that are there. */
  private _made(block: Block): Widget {
    const view = this._viewOf(block);
    this._views.set(block.key, view);
    this.addWidget(view);
    return view;
  }

  private _viewOf(block: Block): Widget {
    switch (block.kind) {
      case 'text':
        return new TextView(block.terminal.screen);
      case 'rich':
        return new RichView(this._rendermime);
      case 'remark': {
        const view = new Widget();
        view.addClass('jp-tasks-remark');
        view.node.textContent = block.words;
        return view;
      }
    }
  }

  private readonly _rendermime: IRenderMimeRegistry;
  private readonly _views = new Map<number, Widget>();
}
