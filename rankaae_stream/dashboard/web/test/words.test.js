import assert from "node:assert/strict";
import { test } from "node:test";
import { age, dateTime, sentence, share, descriptorName, edgeText, interval, levelText, plain, unitText, value, withUnit } from "../src/words.js";

test("an oxidation state has its sign, and other numbers only a minus", () => {
  assert.equal(value("oxidation_state", 2.964), "+2.96");
  assert.equal(value("oxidation_state", -0.5), "−0.50");
  assert.equal(value("coordination_number", 5.96), "6.0");
  assert.equal(value("mean_bond_length", 2.01234), "2.012");
  assert.equal(value("anything", null), "–");
  assert.equal(interval("oxidation_state", { low: 2.5, high: 3.25 }), "+2.50 to +3.25");
});

test("an interval names its level where it is known", () => {
  assert.equal(levelText({ level: 0.9 }), "90 % interval");
  assert.equal(levelText({ level: null }), "Interval");
});

test("the unit of a pure number is not shown", () => {
  assert.deepEqual(["1", "e", "", null, undefined].map(unitText), ["", "e", "", "", ""]);
  assert.equal(withUnit("oxidation_state", "e"), "Oxidation state (e)");
  assert.equal(withUnit("coordination_number", "1"), "Coordination number");
});

test("an unknown descriptor is named by its key", () => {
  assert.equal(descriptorName("oxidation_state"), "Oxidation state");
  assert.equal(descriptorName("d_band_centre"), "D band centre");
  assert.equal(plain("out_of_domain"), "Out of domain");
});

test("an age has the unit that a person would take, and is never before now", () => {
  const cases = [
    [-5, "now"], [1.4, "now"], [2, "2 s ago"], [119, "119 s ago"], [120, "2 min ago"], [7199, "119 min ago"],
    [7200, "2 h ago"], [47 * 3600, "47 h ago"], [48 * 3600, "2 days ago"],
  ]; // prettier-ignore
  for (const [seconds, words] of cases) assert.equal(age(seconds), words);
});

test("a time is a date and a time of day that sort as text", () => {
  assert.match(dateTime(0), /^19(69|70)-\d\d-\d\d \d\d:\d\d:00$/);
  assert.ok(dateTime(1e9) < dateTime(1e9 + 1));
});

test("a share is in per cent, and an advice becomes a sentence", () => {
  assert.deepEqual([0, 0.005, 0.624, 1].map(share), ["0 %", "1 %", "62 %", "100 %"]);
  assert.deepEqual([sentence("a foil would"), sentence("")], ["A foil would.", ""]);
});

test("an edge is element and edge, as far as known", () => {
  assert.equal(edgeText({ element: "Fe", edge: "K" }), "Fe K");
  assert.equal(edgeText({ element: "Fe", edge: "" }), "Fe");
  assert.equal(edgeText({ element: "", edge: "" }), "");
});
