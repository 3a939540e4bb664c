import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { components, isLight } from '../src/core/style.ts';

const CSS = readFileSync(new URL('../style/index.css', import.meta.url), 'utf8');

/** The colours of one use that the first rule behind `selector` sets. */
function colours(selector: string, use: string): string[] {
  const rule = CSS.slice(CSS.indexOf(`${selector} {`)).split('}')[0] ?? '';
  return [...rule.matchAll(new RegExp(`--jp-tasks-${use}-\\d+: (#\\w{6})`, 'g'))].map(([, hex]) => hex ?? '');
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = components(colour).map(part =>
    part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** As the Web Content Accessibility Guidelines define it. */
function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const GROUNDS = colours('.jp-tasks-job', 'ground');
const ON = {
  light: colours('.jp-tasks-text-lines .jp-tasks-mod-on-light', 'ansi'),
  dark: colours('.jp-tasks-text-lines .jp-tasks-mod-on-dark', 'ansi')
};

test('plain text is read on every ground', () => {
  assert.equal(GROUNDS.length, 16);
  GROUNDS.forEach((ground, number) => {
    const text = isLight(number) ? '#000000' : '#ffffff';
    assert.ok(contrast(text, ground) >= 4.5, `${text} on ground ${number}`);
  });
});

test('colours are told from every ground, but for black on black and white on white', () => {
  GROUNDS.forEach((ground, number) => {
    const texts = ON[isLight(number) ? 'light' : 'dark'];
    assert.equal(texts.length, 16);
    texts.forEach((text, colour) => {
      const isSame = [0, 8].includes(number) ? [0, 8].includes(colour) : isLight(number) && isLight(colour);
      assert.ok(isSame || contrast(text, ground) >= 3, `${colour} on ground ${number}`);
    });
  });
});

test('what is light is known of the other grounds, too', () => {
  assert.deepEqual(['#ffffff', '#ffff00', '#000080', 231, 16, 255, 232].map(isLight), [
    true, true, false, true, false, true, false
  ]);
});
