/** One rich output of a job, drawn by whatever renderer the front end has for it. */

import {
  OutputModel,
  type IRenderMime,
  type IRenderMimeRegistry
} from '@jupyterlab/rendermime';
import { Panel } from '@lumino/widgets';

import type { RichOutput } from '../core/outputs.ts';

type Value = OutputModel['toJSON'] extends () => infer Json ? Json : never;

export class RichView extends Panel {
  constructor(rendermime: IRenderMimeRegistry) {
    super();
    this.addClass('jp-tasks-rich');
    this._rendermime = rendermime;
  }

  /** Draw it. In a document that is not trusted no script of it runs. */
  draw(output: RichOutput, isTrusted: boolean): void {
    if (output === this._output && isTrusted === this._isTrusted) {
      return;
    }
    this._output = output;
    this._isTrusted = isTrusted;
    try {
      this._render(new OutputModel({ value: output as Value, trusted: isTrusted }));
    } catch (error) {
      this._failed(error as Error);
    }
  }

  private _render(model: OutputModel): void {
    const mime = this._rendermime.preferredMimeType(model.data, model.trusted ? 'any' : 'ensure');
    if (mime === undefined || mime !== this._mime) {
      this._clear();
      if (mime === undefined) {
        this.node.textContent = this._undrawn(model);
        return;
      }
      this._renderer = this._rendermime.createRenderer(mime);
      this._mime = mime;
      this.addWidget(this._renderer);
    }
    void this._renderer?.renderModel(model).catch(error => this._failed(error as Error));
  }

  private _clear(): void {
    this._renderer?.dispose();
    this._renderer = null;
    this._mime = undefined;
    this.node.textContent = '';
  }

  private _failed(error: Error): void {
    this._clear();
    this.node.textContent = `This output cannot be shown: ${error.message}`;
  }

  /** Why nobody draws it. */
  private _undrawn(model: OutputModel): string {
    const isUnsafe = this._rendermime.preferredMimeType(model.data, 'any') !== undefined;
    const kinds = Object.keys(model.data).join(', ') || 'nothing';
    return isUnsafe
      ? 'This output is shown in a notebook that is trusted.'
      : `This page cannot show an output of ${kinds}.`;
  }

  private readonly _rendermime: IRenderMimeRegistry;
  private _output: RichOutput | null = null;
  private _renderer: IRenderMime.IRenderer | null = null;
  private _mime: string | undefined;
  private _isTrusted = false;
}
