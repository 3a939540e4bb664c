/** Colours and weights that a program chooses by the escape sequence SGR (`ESC [ … m`). */

/** How a piece of text looks. `key` is equal where all is. Colours: 0–255 of the usual palette, or `#rrggbb`. */
export interface Style {
  readonly key: string;
  readonly isError: boolean;
  readonly weights: readonly Weight[];
  readonly colour: Colour | null;
  readonly ground: Colour | null;
}

export type Colour = number | string;
export type Weight = 'bold' | 'dim' | 'italic' | 'underline' | 'inverse' | 'hidden' | 'strike';

const ON: { readonly [code: number]: Weight } = {
  1: 'bold',
  2: 'dim',
  3: 'italic',
  4: 'underline',
  7: 'inverse',
  8: 'hidden',
  9: 'strike'
};
const OFF: { readonly [code: number]: readonly Weight[] } = {
  22: ['bold', 'dim'],
  23: ['italic'],
  24: ['underline'],
  27: ['inverse'],
  28: ['hidden'],
  29: ['strike']
};

export function plainStyle(isError: boolean): Style {
  return made(isError, [], null, null);
}

/** Of a ground: whether dark text is read on it. The named ones but the two whites are dark in every theme. */
export function isLight(ground: Colour): boolean {
  if (typeof ground === 'number' && ground < 16) {
    return ground === 7 || ground === 15;
  }
  const [red, green, blue] = components(ground);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}

/** Red, green and blue of a colour that is the same everywhere: not one of the sixteen named ones. */
export function components(colour: Colour): readonly [number, number, number] {
  if (typeof colour === 'string') {
    const part = (at: number): number => Number.parseInt(colour.slice(at, at + 2), 16);
    return [part(1), part(3), part(5)];
  }
  if (colour >= 232) {
    const grey = 8 + (colour - 232) * 10;
    return [grey, grey, grey];
  }
  const level = (part: number): number => (part % 6 === 0 ? 0 : 55 + (part % 6) * 40);
  const cube = colour - 16;
  return [level(Math.floor(cube / 36)), level(Math.floor(cube / 6)), level(cube)];
}

/** The style after the sequence with these parameters (`1;31`, `38;2;0;0;255`, nothing). */
export function styledBy(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  let weights = new Set(style.weights);
  let { colour, ground } = style;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    const on = ON[code];
    if (code === 0) {
      weights = new Set();
      colour = ground = null;
    } else if (on !== undefined) {
      weights.add(on);
    } else if (OFF[code] !== undefined) {
      OFF[code].forEach(weight => weights.delete(weight));
    } else if (code === 38 || code === 48) {
      const [found, length] = extended(codes.slice(at + 1));
      at += length;
      [colour, ground] = code === 38 ? [found, ground] : [colour, found];
    } else {
      colour = palette(code, 30, 90, colour);
      ground = palette(code, 40, 100, ground);
    }
  }
  return made(style.isError, [...weights].sort(), colour, ground);
}

function palette(code: number, normal: number, bright: number, old: Colour | null): Colour | null {
  if (code >= normal && code < normal + 8) {
    return code - normal;
  }
  if (code >= bright && code < bright + 8) {
    return code - bright + 8;
  }
  return code === normal + 9 ? null : old;
}

/** The colour behind 38 or 48, and how many parameters it takes. */
function extended(codes: number[]): [Colour | null, number] {
  const [mode, ...rest] = codes;
  if (mode === 5) {
    return [byte(rest[0]), 2];
  }
  if (mode === 2) {
    const parts = rest.slice(0, 3).map(part => byte(part).toString(16).padStart(2, '0'));
    return [parts.length === 3 ? `#${parts.join('')}` : null, 4];
  }
  return [null, 1];
}

function byte(value: number | undefined): number {
  return Math.min(Math.max(Math.trunc(value ?? 0) || 0, 0), 255);
}

function made(
  isError: boolean,
  weights: readonly Weight[],
  colour: Colour | null,
  ground: Colour | null
): Style {
  const key = `${isError ? 'e' : 'o'} ${weights.join(',')} ${colour ?? ''} ${ground ?? ''}`;
  return { key, isError, weights, colour, ground };
}
