// Results for the tests, as the server sends them.

import { fromSelected } from "../src/results.js";

export const estimate = (value, more = {}) => ({ value, low: value - 0.2, high: value + 0.3, unit: "e", level: 0.9, ...more });

export const started = (more = {}) => ({
  time: 1000,
  scan_id: 7,
  sample_name: "Fe2O3",
  element: "Fe",
  edge: "K",
  channel: "transmission",
  original_run_uid: "raw-1",
  model: { id: "m1", name: "Fe K", version: "2026.1" },
  ...more,
});

// A finished result; summary: {estimates, flags, refusal, complete, points}.
export function finished(uid, start = {}, summary = {}) {
  const { estimates = { oxidation_state: estimate(2.9) }, flags = {}, refusal = null, complete = true, points = 300 } = summary;
  const stopped = started(start).time + 50;
  return fromSelected(uid, JSON.stringify([started(start), stopped, [estimates, flags, refusal, complete, points]]));
}

// A run without its stop document.
export const growing = (uid, start = {}) => fromSelected(uid, JSON.stringify([started(start), null, null]));

// Rows of a series that is reduced while it is heated.
export const spectra = () =>
  [0, 1, 2, 3, 4, 5].map((i) => ({
    spectrum: `raw-${i}`,
    uid: `result-${i}`,
    raw_uid: `raw-${i}`,
    sweep: 0,
    time: 1000 + 60 * i,
    scan_id: 10 + i,
    temperature: 300 + 20 * i,
    alone: 3 - i / 5,
    alone_half_width: 0.5,
    share_1: 1 - i / 5,
    share_1_sigma: 0.01,
    share_2: i / 5,
    share_2_sigma: 0.01,
    valence: 3 - i / 5,
    half_width: 0.2,
    misfit: 1,
  }));

// A series' metadata as published, and its state apart; more: other values of the state.
export function made(more = {}) {
  const summary = {
    complete: false,
    count: 6,
    spectra: spectra(),
    components: 2,
    ends: ["raw-0", "raw-5"],
    merged: null,
    repeats: 0,
    advice: "",
    more_repeats: null,
    enough: false,
    drift: null,
    changes: [],
    flags: [],
    left_out: [],
    ...more,
  };
  const start = { profile: { series: { against: ["temperature", "flow"] } } };
  return { start, stop: { summary }, summary };
}
