import assert from "node:assert/strict";
import { test } from "node:test";
import { interpolate } from "../src/what-if.js";

const values = [0, 1, 3];
const curves = [[0, 10], [1, 20], [5, 0]]; // prettier-ignore

test("a stored value gives its own curve", () => {
  values.forEach((value, i) => assert.deepEqual(interpolate(values, curves, value), curves[i]));
});

test("between two stored values the curve is linear", () => {
  assert.deepEqual(interpolate(values, curves, 0.5), [0.5, 15]);
  assert.deepEqual(interpolate(values, curves, 2), [3, 10]);
});

test("beyond the ends the end's curve holds", () => {
  assert.deepEqual(interpolate(values, curves, -4), curves[0]);
  assert.deepEqual(interpolate(values, curves, 9), curves[2]);
});
