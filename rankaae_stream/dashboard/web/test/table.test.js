import assert from "node:assert/strict";
import { test } from "node:test";
import { sorted, stateText } from "../src/table.js";
import { finished, growing } from "./made.js";

const warning = { severity: "warning", message: "m" };
const info = { severity: "info", message: "m" };

test("the state names a refusal, the warnings before the notes, or that all is good", () => {
  assert.equal(stateText(finished("a")), "good");
  assert.equal(stateText(growing("a")), "growing");
  const both = { shifted_axis: info, out_of_domain: warning };
  assert.equal(stateText(finished("a", {}, { flags: both })), "▲ out of domain, shifted axis");
  assert.equal(stateText(finished("a", {}, { flags: { shifted_axis: info } })), "shifted axis");
  const refusal = { name: "no_edge", message: "m" };
  assert.equal(stateText(finished("a", {}, { refusal })), "refused: no edge");
});

test("rows are sorted by a key both ways, and those without one come last either way", () => {
  const results = [{ k: 2 }, { k: null }, { k: 10 }, { k: "" }, { k: 1 }];
  const keys = (down) => sorted(results, (result) => result.k, down).map((result) => result.k);
  assert.deepEqual(keys(false), [1, 2, 10, null, ""]);
  assert.deepEqual(keys(true), [10, 2, 1, null, ""]);
});

test("rows of equal keys keep their order", () => {
  const results = ["a", "b", "c"].map((uid) => ({ uid, k: 1 }));
  for (const down of [true, false]) assert.deepEqual(sorted(results, (result) => result.k, down), results);
});
