import assert from "node:assert/strict";
import { test } from "node:test";
import { merged, story } from "../src/story.js";

const NAME = "oxidation_state";

// A table's columns of rows [seq, first, last, extent_last, value, half].
function table(rows, more = {}) {
  const of = (pick) => rows.map(pick);
  return {
    seq_num: of(([seq]) => seq),
    energy_first: of(([, first]) => first),
    energy_last: of(([, , last]) => last),
    extent_last: of(([, , , extent]) => extent),
    [NAME]: of(([, , , , value]) => value),
    [`${NAME}_low`]: of(([, , , , value, half]) => (value === null ? null : value - half)),
    [`${NAME}_high`]: of(([, , , , value, half]) => (value === null ? null : value + half)),
    ...more,
  };
}

const GROWN = [
  [1, 6950, 7115, null, null, null],
  [2, 6950, 7125, 13, 2.5, 1],
  [3, 6950, 7140, 28, 3, 0.5],
  [4, 6950, 7262, null, 3, 0.25],
];

test("answers are drawn where the scan had come to, parts apart, and none where it was refused", () => {
  assert.deepEqual(story(merged(null, table(GROWN)), NAME).answers, [
    { energy: 7125, value: 2.5, low: 1.5, high: 3.5, part: true },
    { energy: 7140, value: 3, low: 2.5, high: 3.5, part: true },
    { energy: 7262, value: 3, low: 2.75, high: 3.25, part: false },
  ]);
});

test("a falling scan has come to the lower of its ends", () => {
  const rows = [[1, 7108, 7300, 150, 3, 1], [2, 7080, 7300, 150, 3, 0.5]]; // prettier-ignore
  assert.deepEqual(story(merged(null, table(rows)), NAME).answers.map((one) => one.energy), [7108, 7080]);
});

test("rows that come one by one, twice or in another order give the same as all at once", () => {
  const all = story(merged(null, table(GROWN)), NAME);
  let rows = null;
  for (const i of [1, 0, 3, 1, 2]) rows = merged(rows, table([GROWN[i]]));
  assert.deepEqual(story(rows, NAME), all);
  assert.deepEqual(story(merged(rows, table(GROWN)), NAME), all);
});

test("shares are those of the newest answer, the largest first, without those that round to nothing", () => {
  const shares = { [NAME]: { noise: 0.001, axis: 0.299, extent: 0.7 }, other: { noise: 1 } };
  const said = [JSON.stringify({ [NAME]: { noise: 1 } }), JSON.stringify(shares)];
  const rows = merged(null, table(GROWN.slice(1, 3), { shares: said, advice: ["", "a foil would narrow it"] }));
  assert.deepEqual(story(rows, NAME).shares, [["extent", 0.7], ["axis", 0.299]]); // prettier-ignore
  assert.equal(story(rows, NAME).advice, "a foil would narrow it");
});

test("results of before have no parts, shares or advice, and whatever comes is no error", () => {
  const { extent_last, ...old } = table([[1, 6950, 7300, null, 3, 0.2]]);
  assert.deepEqual(story(merged(null, old), NAME), {
    answers: [{ energy: 7300, value: 3, low: 2.8, high: 3.2, part: false }], shares: [], advice: "",
  }); // prettier-ignore
  const nothing = { answers: [], shares: [], advice: "" };
  for (const columns of [null, {}, { seq_num: [] }]) assert.deepEqual(story(merged(null, columns), NAME), nothing);
  for (const shares of ["no JSON", "null", "[]", 7, JSON.stringify({ [NAME]: { noise: "x", axis: 9, theory: null } })]) {
    assert.deepEqual(story(merged(null, { seq_num: [1], shares: [shares] }), NAME), nothing);
  }
});
