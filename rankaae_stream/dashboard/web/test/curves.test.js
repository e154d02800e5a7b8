import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Curves, LATER, arrange } from "../src/curves.js";
import { finished } from "./made.js";

const SELECTED = [[[7000, 7001], ["flat", "reconstruction"]], { spread: { units: "Å" } }, ["spread"]];

// A Tiled that counts what it is asked for.
function fake(answers = {}) {
  const asked = { metadata: 0, array: 0, runs: 0 };
  const count = (name, otherwise) => async () => {
    asked[name] += 1;
    return name in answers ? answers[name]() : otherwise;
  };
  return {
    asked,
    metadata: count("metadata", SELECTED),
    array: count("array", [[0, 1], [0, 0.9]]),
    runs: count("runs", { runs: [] }),
  };
}

test("rows become named curves, and none where nothing is on the grid", () => {
  const about = { energy: [7000, 7001], rows: ["flat", "reconstruction"] };
  const curves = { energy: [7000, 7001], flat: [0, 1], reconstruction: [null, 2], part: false };
  assert.deepEqual(arrange([[0, 1], [null, 2]], about), curves);
  assert.ok(arrange([[0, 1], [null, null]], about).part, "without a reconstruction it is of a part");
  assert.equal(arrange([[null, null], [null, null]], about), null);
  assert.equal(arrange(null, about), null);
  assert.equal(arrange([[0, 1]], { energy: [], rows: [] }), null);
});

test("the grid is asked for once a model, and curves once a result", async () => {
  const tiled = fake();
  const curves = new Curves(tiled);
  for (const uid of ["a", "b", "a"]) assert.deepEqual((await curves.final(finished(uid))).flat, [0, 1]);
  assert.deepEqual(tiled.asked, { metadata: 1, array: 2, runs: 0 });
  assert.deepEqual(await curves.about(finished("c")), {
    energy: [7000, 7001], rows: ["flat", "reconstruction"], descriptors: ["spread"], units: { spread: "Å" },
  }); // prettier-ignore
});

test("the rows of a finished result are asked for once", async () => {
  let asked = 0;
  const tiled = { ...fake(), table: async () => ({ seq_num: [++asked] }) };
  const curves = new Curves(tiled);
  for (const uid of ["a", "a"]) assert.deepEqual([...(await curves.rows(finished(uid))).keys()], [1]);
  assert.equal(asked, 1);
});

test("a grid that could not be read is asked for again", async () => {
  let up = false;
  const curves = new Curves(fake({ metadata: () => (up ? SELECTED : Promise.reject(new Error("away"))) }));
  await assert.rejects(curves.about(finished("a")), /away/);
  up = true;
  assert.deepEqual((await curves.about(finished("a"))).rows, ["flat", "reconstruction"]);
});

test("a result without a grid has no curves, and no array is asked for", async () => {
  const tiled = fake({ metadata: () => null });
  assert.equal(await new Curves(tiled).final(finished("a")), null);
  assert.equal(tiled.asked.array, 0);
});

test("what-if curves that are not there are asked for again, though not at once", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let runs = [];
    const tiled = fake({ runs: () => ({ runs }) });
    const curves = new Curves(tiled);
    assert.equal(await curves.whatIf("m1"), null);
    runs = [{ uid: "w", selected: [null, []] }]; // its arrays are being written: no stop yet
    assert.equal(await curves.whatIf("m1"), null);
    assert.equal(tiled.asked.runs, 1);
    mock.timers.tick(LATER);
    assert.equal(await curves.whatIf("m1"), null);
    runs = [{ uid: "w", selected: ["s", [{ name: "oxidation_state" }]] }];
    mock.timers.tick(LATER);
    assert.deepEqual(await curves.whatIf("m1"), { uid: "w", descriptors: [{ name: "oxidation_state" }] });
    mock.timers.tick(10 * LATER);
    await curves.whatIf("m1");
    assert.equal(tiled.asked.runs, 3);
    assert.equal(await curves.whatIf(""), null);
  } finally {
    mock.timers.reset();
  }
});
