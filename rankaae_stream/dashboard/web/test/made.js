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
