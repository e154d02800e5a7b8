import assert from "node:assert/strict";
import { test } from "node:test";
import { fromMetadata, fromSelected, isAnswered, isFlagged, isOutside, number, numericKeys, text, withRow } from "../src/results.js";
import { estimate, finished, growing, started } from "./made.js";

test("a finished run becomes a result with its numbers", () => {
  const result = finished("a");
  assert.equal(result.final, true);
  assert.equal(result.updated, 1050);
  assert.deepEqual(
    [result.scan, result.sample, result.element, result.edge, result.raw, result.points],
    [7, "Fe2O3", "Fe", "K", "raw-1", 300],
  );
  assert.deepEqual(result.estimates, { oxidation_state: estimate(2.9) });
  assert.equal(result.complete, true);
  assert.ok(isAnswered(result));
});

test("the stream's metadata give the same result as the listing", () => {
  const summary = { estimates: { oxidation_state: estimate(2.9) }, flags: {}, refusal: null, complete: true, points: 300 };
  assert.deepEqual(fromMetadata("a", { start: started(), stop: { time: 1050, summary } }), finished("a"));
  assert.deepEqual(fromMetadata("a", { start: started() }), growing("a"));
});

test("a run without a stop document is not final and as old as its start", () => {
  const result = growing("a");
  assert.deepEqual([result.final, result.updated, result.points], [false, 1000, null]);
  assert.equal(isAnswered(result), false);
});

test("whatever a server sends, the result has numbers or null, and text", () => {
  for (const selected of [undefined, "", "no JSON", "null", "{}", "[]", "[7, [], {}]", '[{"model": 3}, "x", [[], 1, 2]]']) {
    const result = fromSelected("a", selected);
    assert.equal(result.sample, "", selected);
    assert.deepEqual([result.time, result.scan, result.sweep], [0, null, 0]);
    assert.deepEqual([result.estimates, result.flags, result.refusal], [{}, [], null]);
  }
  assert.equal(fromMetadata("a", undefined).final, false);
});

test("an estimate that is no number or has no interval is left out", () => {
  const { estimates } = finished("a", {}, {
    estimates: {
      good: estimate(1),
      text: estimate(1, { value: "1" }),
      open: { value: 1, low: 0, high: null },
      none: null,
    },
  });
  assert.deepEqual(Object.keys(estimates), ["good"]);
});

test("markup stays text, an object becomes JSON, and both are cut at 300 characters", () => {
  assert.equal(text("<b>x</b>"), "<b>x</b>");
  assert.equal(text({ a: 1 }), '{"a":1}');
  assert.equal(text("x".repeat(1000)).length, 300);
  assert.equal(text(["x".repeat(1000)]).length, 300);
  assert.deepEqual([text(null), text(undefined), text(7), text(true)], ["", "", "7", "true"]);
});

test("only finite numbers are numbers", () => {
  assert.deepEqual([1, 0, -2.5].map(number), [1, 0, -2.5]);
  assert.deepEqual([NaN, Infinity, "1", null, undefined, [1]].map(number), [null, null, null, null, null, null]);
});

test("flags have a severity, and an unknown severity is an info", () => {
  const { flags } = finished("a", {}, {
    flags: { out_of_domain: { severity: "warning", message: "far" }, shifted: { severity: "loud" }, odd: null },
  });
  assert.deepEqual(flags.map((flag) => flag.severity), ["warning", "info", "info"]);
  assert.ok(isFlagged({ flags }) && isOutside({ flags }));
  assert.ok(!isFlagged(finished("b")) && !isOutside(finished("b")));
});

test("descriptors learned from simulations only are hints", () => {
  const descriptors = [{ name: "oxidation_state", evidence: "measured" }, { name: "spread", evidence: "simulation" }, null];
  assert.deepEqual([...finished("a", { descriptors }).hints], ["spread"]);
  assert.equal(finished("a", { descriptors: "none" }).hints.size, 0);
});

test("numbers of the start document are conditions, those below a key too", () => {
  const start = started({ temperature: 300, cell: { potential: 1.2, deep: { x: 1 } }, note: "x", bad: NaN });
  assert.deepEqual(Object.fromEntries(numericKeys(start)), { temperature: 300, "cell.potential": 1.2 });
});

test("a row of a growing run gives its values, flags and range", () => {
  const columns = {
    time: [1001, 1005],
    seq_num: [1, 2],
    points: [40, 80],
    energy_first: [6950, 6950],
    energy_last: [7100, 7200],
    oxidation_state: [null, 2.5],
    oxidation_state_low: [null, 2.2],
    oxidation_state_high: [null, 2.9],
    flags: ["[]", '[{"name": "noisy", "severity": "warning", "message": "m"}]'],
    refusal: ["coverage", ""],
    refusal_message: ["too short", ""],
  };
  const about = { descriptors: ["oxidation_state"], units: { oxidation_state: "e" } };
  const first = withRow(growing("a"), columns, 0, about);
  assert.deepEqual([first.updated, first.points, first.range], [1001, 40, [6950, 7100]]);
  assert.deepEqual(first.refusal, { name: "coverage", message: "too short" });
  assert.equal(isAnswered(first), false);
  const second = withRow(first, columns, 1, about);
  assert.equal(second.refusal, null);
  assert.deepEqual(second.estimates.oxidation_state, { value: 2.5, low: 2.2, high: 2.9, unit: "e", level: null });
  assert.deepEqual(second.flags.map((flag) => flag.name), ["noisy"]);
  assert.equal(second.final, false);
});

test("a row with damaged flags or missing columns keeps what is known", () => {
  const before = growing("a");
  const after = withRow(before, { flags: ["{"] }, 0, { descriptors: ["x"], units: {} });
  assert.deepEqual([after.flags, after.estimates, after.updated], [[], {}, before.updated]);
});
