import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pace } from '../src/core/pace.ts';

test('what is the first of its kind is drawn at once, whatever was drawn before', () => {
  const pace = new Pace();
  assert.equal(pace.wait(1000, false), 0);
  pace.drew(1000, 1500);
  assert.equal(pace.wait(1500, true), 0);
});

test('else drawing rests for a while', () => {
  const pace = new Pace();
  pace.drew(1000, 1001);
  assert.equal(pace.wait(1001, false), 80);
  assert.equal(pace.wait(1060, false), 21);
  assert.equal(pace.wait(2000, false), 0);
});

test('what takes long to draw is drawn more seldom', () => {
  const pace = new Pace();
  pace.drew(1000, 1100);
  assert.equal(pace.wait(1200, false), 300);
});
