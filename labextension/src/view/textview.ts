/** The end of a program's text: coloured lines that follow what is written as long as nobody scrolls up. */

import { Widget } from '@lumino/widgets';

import type { Line, Screen } from '../core/screen.ts';
import { components, isLight, type Colour, type Style } from '../core/style.ts';
import { plain } from '../core/words.ts';
import { following, made, say } from './dom.ts';

/** So many lines are shown of a job that has ended before one is asked to look at the rest. */
const FEW_LINES = 5;

export class TextView extends Widget {
  constructor(screen: Screen) {
    super({ node: document.createElement('details') });
    this.addClass('jp-tasks-text');
    this._screen = screen;
    this._summary = made('summary', 'text-summary', this.node);
    this._lines = made('pre', 'text-lines', this.node);
    this._lines.tabIndex = 0;
    this._lines.setAttribute('role', 'region');
    this._lines.setAttribute('aria-label', 'Output');
    this._lines.addEventListener('keydown', event => keepScrolling(this._lines, event));
    this.details.open = true;
  }

  /** Draw what has changed. `isCompact`: all but a few lines wait behind a summary. */
  draw(isCompact: boolean): void {
    following(this._lines, () => {
      this._drawLines();
      this._fold(isCompact);
    });
  }

  private get details(): HTMLDetailsElement {
    return this.node as HTMLDetailsElement;
  }

  private _drawLines(): void {
    const { first, end } = this._screen;
    const changed = this._screen.takeChanged();
    const gone = Math.min(first - this._first, this._lines.childElementCount);
    for (let count = 0; count < gone; count++) {
      this._lines.firstElementChild?.remove();
    }
    this._first = first;
    while (this._first + this._lines.childElementCount > end) {
      this._lines.lastElementChild?.remove();
    }
    const known = this._first + this._lines.childElementCount;
    for (let number = Math.max(first, changed); number < Math.min(known, end); number++) {
      this._lines.children[number - first]?.replaceWith(drawn(this._screen.line(number)));
    }
    const added = document.createDocumentFragment();
    for (let number = known; number < end; number++) {
      added.append(drawn(this._screen.line(number)));
    }
    this._lines.append(added);
  }

  /** Whoever has opened or closed it by hand keeps it so. */
  private _fold(isCompact: boolean): void {
    const count = this._lines.childElementCount;
    const folds = isCompact && count > FEW_LINES;
    if (folds !== this._isFolded) {
      this._isFolded = folds;
      this.toggleClass('jp-tasks-mod-folded', folds);
      this.details.open = !folds || this.node.contains(document.activeElement);
    }
    const last = plain(this._lines.lastElementChild?.textContent ?? '');
    const lines = this._first > 0 ? `The last ${count} lines` : `${count} lines`;
    say(this._summary, folds ? `${lines} of output: ${last}` : '');
  }

  private readonly _screen: Screen;
  private readonly _summary: HTMLElement;
  private readonly _lines: HTMLPreElement;
  private _first = 0;
  private _isFolded = false;
}

const DOWN = new Set(['ArrowDown', 'PageDown', 'End']);
const UP = new Set(['ArrowUp', 'PageUp', 'Home']);

/** Keys that scroll are not the notebook's while there is more to scroll to, if the keyboard led here. */
function keepScrolling(lines: HTMLElement, event: KeyboardEvent): void {
  const { scrollTop, scrollHeight, clientHeight } = lines;
  const isModified = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
  const down = DOWN.has(event.key) && scrollTop + clientHeight < scrollHeight - 1;
  const up = UP.has(event.key) && scrollTop > 0;
  if ((down || up) && !isModified && lines.matches(':focus-visible')) {
    event.stopPropagation();
  }
}

function drawn(line: Line): HTMLElement {
  const element = document.createElement('div');
  for (const { text, style } of line) {
    element.append(isPlain(style) ? text : span(text, style));
  }
  return element;
}

function isPlain(style: Style): boolean {
  return !style.isError && !style.weights.length && style.colour === null && style.ground === null;
}

function span(text: string, style: Style): HTMLElement {
  const element = document.createElement('span');
  element.textContent = text;
  element.classList.add(...style.weights.map(weight => `jp-tasks-mod-${weight}`));
  element.classList.toggle('jp-tasks-mod-err', style.isError);
  const isInverse = style.weights.includes('inverse');
  const [colour, ground] = isInverse ? [style.ground, style.colour] : [style.colour, style.ground];
  element.style.color = colour === null ? '' : css(colour, 'ansi');
  if (ground !== null) {
    element.style.backgroundColor = css(ground, 'ground');
    element.classList.add(`jp-tasks-mod-on-${isLight(ground) ? 'light' : 'dark'}`);
  }
  return element;
}

/** The sixteen named colours are the theme's, the other ones what they are everywhere. */
function css(colour: Colour, use: 'ansi' | 'ground'): string {
  if (typeof colour === 'number' && colour < 16) {
    return `var(--jp-tasks-${use}-${colour})`;
  }
  return `rgb(${components(colour).join(', ')})`;
}
