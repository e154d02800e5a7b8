import assert from "node:assert/strict";
import { test } from "node:test";
import {
  axesOf, changesOn, fromListing, fromSeries, fromState, isMixture, misfitText, placesOn, rowOf, seriesOf, spectrumName, stateOf, wholeOf,
} from "../src/series.js"; // prettier-ignore
import { finished, made, spectra } from "./made.js";

const GROUP = { sample_name: "Fe2O3", edge: "Fe K", channel: "transmission" };

const listed = (uid, more = {}, stopped = 2000, state = [3, false]) => {
  const { time, group, sample, element, edge, channel } = { time: 900, group: GROUP, sample: "Fe2O3", element: "Fe", edge: "K", channel: "transmission", ...more };
  return fromListing(uid, JSON.stringify([[time, group, sample, element, edge, channel], stopped, state]));
};

test("a listing and the stream say the same of a series", () => {
  const start = { time: 900, group: GROUP, sample_name: "Fe2O3", element: "Fe", edge: "K", channel: "transmission" };
  assert.deepEqual(fromSeries("s", { start, stop: { time: 2000, summary: { count: 3, complete: false } } }), listed("s"));
  assert.equal(listed("s").count, 3);
});

test("a result is of the newest series of its sample, edge and channel that began before it", () => {
  const all = [listed("old", { time: 100 }, 200), listed("mine"), listed("later", { time: 1001 }), listed("other", { group: { ...GROUP, sample_name: "FeO" } })];
  assert.equal(seriesOf(finished("a"), all).uid, "mine");
  assert.equal(seriesOf(finished("a", { sample_name: "FeO" }), all).uid, "other");
  for (const more of [{ channel: "pips" }, { edge: "L3" }, { sample_name: "V2O5" }]) {
    assert.equal(seriesOf(finished("a", more), all), null);
  }
});

test("a scan of days later begins another series, one of an hour later may still join", () => {
  const series = [listed("s", {}, 1000)];
  assert.equal(seriesOf(finished("a", { time: 1000 + 3600 }), series).uid, "s");
  assert.equal(seriesOf(finished("a", { time: 1000 + 3 * 86400 }), series), null);
});

test("what names a series need not be the sample's name: a group, dotted keys, the run of some sweeps", () => {
  const of = (group) => [listed("s", { group: { edge: "Fe K", channel: "transmission", ...group }, sample: "another name" })];
  assert.ok(seriesOf(finished("a", { scan_group_uid: "g" }), of({ scan_group_uid: "g" })));
  assert.equal(seriesOf(finished("a", { scan_group_uid: "h" }), of({ scan_group_uid: "g" })), null);
  assert.ok(seriesOf(finished("a", { Sample: { number: 7 } }), of({ "Sample.number": "7" })));
  assert.ok(seriesOf(finished("a"), of({ uid: "raw-1" })));
  assert.equal(seriesOf(finished("a"), of({ uid: "raw-2" })), null);
  assert.equal(seriesOf(finished("a"), of({ sample_id: "7" })), null, "neither key nor name agree");
});

test("a series that is a part of a longer one gives way to it, as in trends.read_series", () => {
  const state = (...uids) => ({ rows: uids.map((uid) => ({ uid })) });
  const [part, joined] = [listed("part", { time: 1500 }, 2000, [2, true]), listed("joined", {}, 2000, [3, true])];
  const states = (...uids) => new Map([["part", state("b", "c")], ["joined", state(...uids)]]);
  for (const known of [new Map(), new Map([["part", state("b", "c")]]), states("a", "b", "c")]) {
    assert.equal(wholeOf(part, [part, joined], known).uid, "joined");
    assert.equal(wholeOf(joined, [part, joined], known).uid, "joined");
  }
  assert.equal(wholeOf(part, [part, joined], states("a", "b", "d")).uid, "part", "it has a spectrum of its own");
  assert.equal(wholeOf(part, [part, listed("earlier", {}, 1900, [3, true])]).uid, "part");
  for (const more of [{ channel: "pips" }, { edge: "L3" }, { group: { ...GROUP, sample_name: "FeO" } }]) {
    assert.equal(wholeOf(part, [part, listed("other", more, 2000, [3, true])]).uid, "part");
  }
});

test("a state is the same from the stream and from a listing", () => {
  const { start, summary } = made();
  assert.deepEqual(stateOf({ start, stop: { summary } }), fromState(JSON.stringify([["temperature", "flow"], 1, summary])));
});

test("repeats have their mean, and name what was left out", () => {
  const leftOut = [{ spectrum: "raw-2", reason: "differs" }];
  const more = { ends: [], components: 1, merged: { value: 3, low: 2.8, high: 3.2, level: 0.9 }, enough: true, left_out: leftOut };
  const state = stateOf({ stop: { summary: made(more).summary } });
  assert.ok(!isMixture(state));
  assert.deepEqual([state.merged.low, state.enough, state.leftOut], [2.8, true, leftOut]);
  assert.equal(spectrumName(state, "raw-2"), "scan 12");
});

test("a spectrum is called by its scan number, its sweep, else by what is known of its run", () => {
  const state = stateOf({ stop: { summary: made().summary } });
  assert.equal(spectrumName(state, "raw-3"), "scan 13");
  assert.equal(spectrumName(state, "raw-9 sweep 1", (raw) => (raw === "raw-9" ? { scan: 9 } : null)), "scan 9, sweep 2");
  assert.equal(spectrumName(state, "0123456789abcdef0123456789"), "01234567…");
});

test("a series is drawn against what it has: scan numbers where each is its own, numbers that change", () => {
  const named = (more) => axesOf(stateOf(made(more))).map(([key]) => key);
  const rows = spectra();
  assert.deepEqual(named(), ["scan", "time", "temperature"]);
  assert.deepEqual(named({ spectra: rows.map((row) => ({ ...row, scan_id: 1 })) }), ["place", "time", "temperature"]);
  assert.deepEqual(named({ spectra: rows.map((row) => ({ ...row, time: null, temperature: 300 })) }), ["scan"]);
  assert.deepEqual(placesOn(stateOf(made()), "temperature"), [300, 320, 340, 360, 380, 400]);
});

test("a change lies between two spectra, and is as wide as it is unsure", () => {
  const state = stateOf(made({ changes: [{ at: 3, within: 1, before: 0, after: -0.1 }] }));
  assert.deepEqual(changesOn(state, placesOn(state, "scan")), [[12.5, 11.5, 13.5]]);
  assert.deepEqual(changesOn(state, placesOn(state, "temperature")), [[350, 330, 370]]);
  const cooled = stateOf(made({ changes: [{ at: 3, within: 9 }], spectra: spectra().reverse() }));
  assert.deepEqual(changesOn(cooled, placesOn(cooled, "temperature")), [[350, 300, 400]]);
});

test("positions are told among all spectra of a series of which fewer are listed", () => {
  const state = stateOf(made({ count: 51, changes: [{ at: 30, within: 10 }] }));
  const [[middle, low, high]] = changesOn(state, placesOn(state, "place"));
  assert.deepEqual([middle, low, high].map((one) => +one.toFixed(6)), [3.5, 2.5, 4.5]); // prettier-ignore
});

test("a poor fit is told, a good one is not", () => {
  assert.equal(misfitText(stateOf(made())), "");
  const poor = spectra().map((row, i) => ({ ...row, misfit: i === 2 ? 7.2 : 1 }));
  assert.match(misfitText(stateOf(made({ spectra: poor }))), /^1 of 6 spectra are no mixture.* 7\.2 times/);
});

test("whatever another program wrote is no error, and no number where it is none", () => {
  const odd = [null, "text", 7, true, [], {}, [[null, 3, "x", {}]], { a: 1 }];
  for (const value of odd) {
    fromListing("a", JSON.stringify(value));
    fromListing("a", JSON.stringify([value, value, value]));
    fromState(JSON.stringify([value, value, value]));
    fromSeries("a", { start: value, stop: value });
    const keys = Object.keys(made().summary);
    const summary = Object.fromEntries(keys.map((key) => [key, value]));
    for (const bad of [summary, ...keys.map((key) => ({ ...made().summary, [key]: value })), made({ spectra: spectra().map(() => summary) }).summary]) {
      const state = stateOf({ start: { profile: { series: { against: value } } }, stop: { summary: bad } });
      for (const [key] of axesOf(state)) changesOn(state, placesOn(state, key));
      misfitText(state);
      rowOf(state, "a");
      for (const { spectrum } of state.leftOut) spectrumName(state, spectrum);
    }
  }
  assert.equal(fromState("no JSON"), null);
});
