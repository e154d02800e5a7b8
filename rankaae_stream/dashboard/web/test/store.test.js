import assert from "node:assert/strict";
import { test } from "node:test";
import { withRow } from "../src/results.js";
import { Store } from "../src/store.js";
import { estimate, finished, growing } from "./made.js";

const WARNING = { noisy: { severity: "warning", message: "m" } };
const OUTSIDE = { out_of_domain: { severity: "warning", message: "m" } };
const REFUSED = { estimates: {}, refusal: { name: "coverage", message: "too short" } };

function filled(...results) {
  const store = new Store();
  store.add(results);
  return store;
}

const uids = (results) => results.map((result) => result.uid);

test("the newest measurement comes first, whatever the order of arrival", () => {
  const store = filled(finished("b", { time: 200 }), finished("c", { time: 300 }), finished("a", { time: 100 }));
  assert.deepEqual(uids(store.all), ["c", "b", "a"]);
  assert.equal(store.size, 3);
});

test("of a single scan the primary channel comes before the others and the last sweep first", () => {
  const store = filled(
    finished("other", { channel: "fluorescence", primary: false }),
    finished("first", { sweep: 0 }),
    finished("second", { sweep: 1 }),
  );
  assert.deepEqual(uids(store.all), ["second", "first", "other"]);
});

test("a result that is there already changes nothing; a later one replaces it", () => {
  const store = filled(growing("a"));
  assert.equal(store.add([growing("a")]), false);
  assert.equal(store.add([finished("a")]), true);
  assert.equal(store.add([finished("a")]), false);
  assert.equal(store.get("a").final, true);
  assert.equal(store.get("other"), null);
});

test("a listing does not take a growing run's rows away, and a final result does not grow again", () => {
  const store = filled(growing("a"));
  const row = withRow(store.get("a"), { time: [1010], points: [40] }, 0, { descriptors: [], units: {} });
  store.grow(row);
  assert.equal(store.add([growing("a")]), false);
  assert.equal(store.get("a").points, 40);
  store.add([finished("a")]);
  assert.equal(store.add([growing("a")]), false);
  assert.equal(store.get("a").final, true);
});

test("the model and the channel choose, a word and a state list", () => {
  const store = filled(
    finished("good", { time: 5 }),
    finished("warned", { time: 4 }, { flags: WARNING }),
    finished("outside", { time: 3 }, { flags: OUTSIDE }),
    finished("refused", { time: 2, sample_name: "short" }, REFUSED),
    finished("ni", { time: 1, element: "Ni", model: { id: "m2", name: "Ni K", version: "1" } }),
    finished("side", { time: 0, channel: "fluorescence", primary: false }),
  );
  const listed = (filter) => {
    Object.assign(store.filter, { model: "", channel: "primary", text: "", state: "all" }, filter);
    return uids(store.listed);
  };
  assert.deepEqual(listed({}), ["good", "warned", "outside", "refused", "ni"]);
  assert.deepEqual(listed({ model: "Ni K" }), ["ni"]);
  assert.deepEqual(listed({ model: "Fe K|m1" }), ["good", "warned", "outside", "refused"]);
  assert.deepEqual(listed({ model: "Fe K|other" }), []);
  assert.deepEqual(listed({ channel: "fluorescence" }), ["side"]);
  assert.equal(listed({ channel: "all" }).length, 6);
  assert.deepEqual(listed({ state: "good" }), ["good", "ni"]);
  assert.deepEqual(listed({ state: "flagged" }), ["warned", "outside"]);
  assert.deepEqual(listed({ state: "outside" }), ["outside"]);
  assert.deepEqual(listed({ state: "refused" }), ["refused"]);
  assert.deepEqual(listed({ text: "  SHORT coverage " }), ["refused"]);
  assert.deepEqual(listed({ text: "noisy" }), ["warned"]);
  assert.deepEqual(listed({ text: "ni k transmission" }), ["ni"]);
});

test("a word finds the flags of a growing run's newest row", () => {
  const store = filled(growing("a"));
  store.filter.text = "noisy";
  assert.deepEqual(uids(store.listed), []);
  const flags = '[{"name": "noisy", "severity": "warning", "message": "m"}]';
  store.grow(withRow(store.get("a"), { flags: [flags] }, 0, { descriptors: [], units: {} }));
  assert.deepEqual(uids(store.listed), ["a"]);
});

test("the newest result is shown, or the one chosen by hand while it is known", () => {
  const store = filled(finished("old", { time: 100 }), finished("new", { time: 200 }));
  assert.equal(store.shown.uid, "new");
  store.pinned = "old";
  assert.equal(store.shown.uid, "old");
  store.pinned = "unknown";
  assert.equal(store.shown.uid, "new");
  assert.equal(new Store().shown, null);
});

test("the last answer stays in sight until a growing scan has its first, for 15 minutes at most", () => {
  const store = filled(finished("before", { time: 1000 }), growing("next", { time: 1100 }));
  assert.equal(store.shown.uid, "before");
  assert.equal(store.growing.uid, "next");
  store.grow({ ...store.get("next"), updated: 1050 + 900 });
  assert.equal(store.shown.uid, "next");
  store.grow({ ...store.get("next"), updated: 1200, estimates: { oxidation_state: estimate(2) } });
  assert.equal(store.shown.uid, "next");
  store.add([finished("next", { time: 1100 })]);
  assert.equal(store.growing, null);
});

test("the list of models names an edge's only model, or each of several", () => {
  const store = filled(
    finished("a"),
    finished("b", { element: "Ni", model: { id: "m2", name: "Ni K", version: "1" } }),
    finished("c", { element: "Ni", model: { id: "m3", name: "Ni K", version: "2" } }),
    growing("d", { element: "" , edge: "" }),
  );
  assert.deepEqual(store.models, [
    ["", "All elements"],
    ["Fe K", "Fe K · Fe K 2026.1"],
    ["Ni K", "Ni K · latest of 2 models"],
    ["Ni K|m2", "Ni K · Ni K 1"],
    ["Ni K|m3", "Ni K · Ni K 2"],
  ]);
});

test("channels, descriptors with their units, and conditions are those of the results", () => {
  const store = filled(
    finished("a", { temperature: 300 }, { estimates: { oxidation_state: estimate(2), spread: estimate(0.1, { unit: "Å" }) } }),
    finished("b", { potential: 1, channel: "fluorescence" }),
  );
  assert.deepEqual(store.channels.map(([key]) => key), ["primary", "fluorescence", "transmission", "all"]);
  assert.deepEqual([...store.descriptors], [["oxidation_state", "e"], ["spread", "Å"]]);
  assert.deepEqual(store.conditions, ["potential", "temperature"]);
});

const model = (version, id = version) => ({ model: { id, name: "fe-k", version } });

test("of several models' answers to a spectrum the latest version's is shown until one is chosen", () => {
  const store = filled(
    finished("a-new", { time: 2, original_run_uid: "a", ...model("2026.11") }),
    finished("a-old", { time: 2, original_run_uid: "a", ...model("2026.9") }),
    finished("b-old", { time: 1, original_run_uid: "b", ...model("2026.9") }),
    finished("a-side", { time: 2, original_run_uid: "a", channel: "iff", primary: false, ...model("2026.9") }),
  );
  assert.deepEqual(uids(store.chosen), ["a-new", "b-old"]);
  store.filter.model = "Fe K|2026.9";
  assert.deepEqual(uids(store.chosen), ["a-old", "b-old"]);
  assert.equal(store.shown.uid, "a-old");
  store.filter.model = "Fe K";
  assert.deepEqual(uids(store.chosen), ["a-new", "b-old"]);
  assert.deepEqual(uids(store.answersTo(store.get("a-old"))), ["a-new", "a-old"]);
  assert.deepEqual(uids(store.answersTo(store.get("b-old"))), ["b-old"]);
  store.add([finished("b-new", { time: 1, original_run_uid: "b", ...model("2026.11") })]);
  assert.deepEqual(uids(store.chosen), ["a-new", "b-new"]);
});

test("models are told apart also where they have the same name and version", () => {
  const store = filled(
    finished("a", { original_run_uid: "a", ...model("1", "0123456789") }),
    finished("b", { original_run_uid: "a", ...model("1", "9876543210") }),
    finished("c", { original_run_uid: "a", ...model("2") }),
  );
  assert.deepEqual(store.models, [
    ["", "All elements"],
    ["Fe K", "Fe K · latest of 3 models"],
    ["Fe K|0123456789", "Fe K · fe-k 1 (01234567)"],
    ["Fe K|9876543210", "Fe K · fe-k 1 (98765432)"],
    ["Fe K|2", "Fe K · fe-k 2"],
  ]);
});

test("results that name no run are of a spectrum each", () => {
  const store = filled(
    finished("a", { original_run_uid: "", ...model("1") }),
    finished("b", { original_run_uid: "", ...model("2") }),
  );
  assert.equal(store.chosen.length, 2);
});
