/** How often a view is drawn: what is new in kind at once, the rest so that the page has time for other things. */

/** Drawing more often would cost more than anybody sees. */
const EVERY_MS = 80;
/** For so many times as long as it took to draw nothing is drawn. */
const REST = 4;

/** Times are milliseconds of any one clock. */
export class Pace {
  /** How long to wait now; nobody waits for what is the first of its kind. */
  wait(now: number, isFirst: boolean): number {
    return isFirst ? 0 : Math.max(0, this._end + Math.max(EVERY_MS, REST * this._cost) - now);
  }

  /** It was drawn. */
  drew(began: number, end: number): void {
    this._end = end;
    this._cost = end - began;
  }

  private _end = -Infinity;
  private _cost = 0;
}
