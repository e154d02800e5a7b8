// Series of one sample as plain objects: what a listing tells of each, and the state of one.
// Documents are untrusted data: numbers are checked, text stays text.

import { asFlag, asList, isObject, number, text } from "./results.js";
import { edgeText } from "./words.js";

// As rankaae_stream/results/compose_series.py publishes it; a test compares the two.
export const SERIES_PURPOSE = "series of XANES by rankaae-stream";

// What the server sends of each series in a listing: little, for a state can hold 2,000 spectra.
export const LISTING =
  "to_string([start.[time, group, sample_name || sample, element, edge, channel, model.id], stop.time, " +
  "stop.summary.[count, complete]])";

// And of the one that is shown.
export const STATE = "to_string([start.profile.series.against, stop.time, stop.summary])";

export const MOST_SHARES = 4; // as rankaae_stream/series/mixtures.py looks for
export const GOOD_FIT = 2; // misfit, in units of the noise, up to which a mixture is a good one
const GAP = 12 * 3600; // s after its last spectrum in which a scan may still join a series

// {uid, time, updated, group, sample, element, edge, channel, model, count, complete} from a listing.
export function fromListing(uid, selected) {
  const [start, stopped, state] = asList(selected);
  return entry(uid, Array.isArray(start) ? start : [], stopped, Array.isArray(state) ? state : []);
}

// The same from a run's metadata, as the stream sends it.
export function fromSeries(uid, { start, stop } = {}) {
  const { time, group, sample_name, sample, element, edge, channel, model } = isObject(start) ? start : {};
  const { count, complete } = isObject(stop?.summary) ? stop.summary : {};
  return entry(uid, [time, group, sample_name ?? sample, element, edge, channel, model?.id], stop?.time, [count, complete]);
}

function entry(uid, [time, group, sample, element, edge, channel, model], stopped, [count, complete]) {
  const began = number(time) ?? 0;
  return {
    uid,
    time: began,
    updated: number(stopped) ?? began,
    group: isObject(group) ? group : {},
    sample: text(sample),
    element: text(element),
    edge: text(edge),
    channel: text(channel),
    model: text(model),
    count: number(count) ?? 0,
    complete: complete === true,
  };
}

// The longest series that one is a part of, or itself: a session that started again began it
// anew, and a replay has joined it. As `read_series` of rankaae_stream/trends.py leaves parts out;
// where a state, by uid, is not known the times tell.
export function wholeOf(one, entries, states = new Map()) {
  let whole = one;
  for (const other of entries) if (other.count > whole.count && isPart(one, other, states)) whole = other;
  return whole;
}

function isPart(one, other, states) {
  if (sameOf(one) !== sameOf(other) || one.count >= other.count) return false;
  const [mine, all] = [states.get(one.uid), states.get(other.uid)];
  // Of a long series not all spectra are listed.
  const known = mine && all && mine.rows.length > 0 && all.rows.length >= other.count;
  if (!known) return other.time <= one.time && one.updated <= other.updated;
  const uids = new Set(all.rows.map((row) => row.uid));
  return mine.rows.every((row) => uids.has(row.uid));
}

const sameOf = ({ group, element, edge, channel }) =>
  JSON.stringify([Object.entries(group).sort(([a], [b]) => (a < b ? -1 : 1)), element, edge, channel]);

// The series that a result belongs to or may still join, or null.
export function seriesOf(result, entries) {
  let best = null;
  for (const one of entries) {
    if (one.count < 1 || one.time > result.time || result.time > one.updated + GAP) continue;
    if (isOf(one, result) && (best === null || one.time > best.time)) best = one;
  }
  return best;
}

function isOf(series, result) {
  if (edgeText(series) !== edgeText(result) || series.channel !== result.channel) return false;
  if (series.model && result.model.id && series.model !== result.model.id) return false;
  const { edge, channel, uid, ...names } = series.group;
  if (typeof uid === "string") return uid === result.raw;
  const told = Object.entries(names).map(([key, name]) => [at(result.start, key), text(name)]);
  const known = told.filter(([mine]) => mine !== "");
  if (known.length > 0) return known.every(([mine, name]) => mine === name);
  return result.sample !== "" && result.sample === series.sample;
}

// A dotted key's value as text; a key may hold dots itself.
function at(start, key) {
  const walked = key.split(".").reduce((part, name) => (isObject(part) ? part[name] : undefined), start);
  return text(start[key] ?? walked).trim();
}

export function fromState(selected) {
  const [against, , summary] = asList(selected);
  return read(summary, against);
}

export function stateOf({ start, stop } = {}) {
  return read(stop?.summary, start?.profile?.series?.against);
}

function read(summary, against) {
  if (!isObject(summary)) return null;
  const spectra = list(summary.spectra).filter(isObject);
  const ends = list(summary.ends).slice(0, MOST_SHARES).map(text);
  const keys = list(against).filter((key) => typeof key === "string");
  const rows = spectra.map((row) => asRow(row, ends.length, keys));
  const merged = isObject(summary.merged) ? summary.merged : {};
  const [value, low, high] = ["value", "low", "high"].map((key) => number(merged[key]));
  const count = number(summary.count) ?? rows.length;
  return {
    count,
    complete: summary.complete === true,
    components: number(summary.components) ?? 1,
    rows,
    ends,
    against: keys.filter((key) => new Set(rows.map((row) => row.against[key])).size > 1),
    merged: value === null || low === null || high === null ? null : { value, low, high, level: number(merged.level) },
    repeats: number(summary.repeats) ?? 0,
    advice: text(summary.advice),
    more: number(summary.more_repeats),
    enough: summary.enough === true,
    changes: list(summary.changes).map((one) => asChange(one, count, rows.length)).filter(Boolean),
    flags: list(summary.flags).map(asFlag),
    leftOut: list(summary.left_out).map((one) => ({ spectrum: text(one?.spectrum), reason: text(one?.reason) })),
  };
}

function asRow(row, shares, keys) {
  return {
    uid: text(row.uid),
    spectrum: text(row.spectrum),
    raw: text(row.raw_uid),
    sweep: number(row.sweep) ?? 0,
    time: number(row.time),
    scan: number(row.scan_id),
    alone: number(row.alone),
    aloneHalf: number(row.alone_half_width),
    shares: Array.from({ length: shares }, (_, k) => ({
      value: number(row[`share_${k + 1}`]),
      sigma: number(row[`share_${k + 1}_sigma`]),
    })),
    valence: number(row.valence),
    half: number(row.half_width),
    misfit: number(row.misfit),
    against: Object.fromEntries(keys.map((key) => [key, number(row[key])])),
  };
}

// Positions are told among all spectra; of a long series fewer are listed.
function asChange(one, count, listed) {
  const [at, within] = [number(one?.at), number(one?.within)];
  if (at === null || listed < 2) return null;
  const scale = count > 1 ? (listed - 1) / (count - 1) : 1;
  return { at: at * scale, within: (within ?? 0) * scale };
}

const list = (value) => (Array.isArray(value) ? value : []);

export const isMixture = (state) => state.ends.length > 1;

// What a spectrum of a series is called for a person: its scan number where that is known.
// found(raw): the result of a raw run, or null.
export function spectrumName(state, spectrum, found = () => null) {
  const row = state.rows.find((one) => one.spectrum === spectrum);
  const [, raw, second] = /^(.*?)(?: sweep (\d+))?$/s.exec(spectrum);
  const scan = row?.scan ?? found(raw)?.scan ?? null;
  const sweep = row?.sweep ?? Number(second ?? 0);
  const name = scan !== null ? `scan ${scan}` : raw.length > 20 ? `${raw.slice(0, 8)}…` : raw;
  return sweep > 0 ? `${name}, sweep ${sweep + 1}` : name;
}

// What the rows can be drawn against: [[key, words]].
export function axesOf(state) {
  const scans = state.rows.map((row) => row.scan);
  const known = scans.every((scan) => scan !== null) && new Set(scans).size === scans.length;
  return [
    known ? ["scan", "scan number"] : ["place", "number in the series"],
    ...(state.rows.every((row) => row.time !== null) ? [["time", "time of the scan"]] : []),
    ...state.against.map((key) => [key, key]),
  ];
}

// Where each row stands on an axis; null where it has no such number.
export function placesOn(state, key) {
  return state.rows.map((row, i) => {
    if (key === "scan") return row.scan;
    if (key === "time") return row.time;
    return key === "place" ? i + 1 : (row.against[key] ?? null);
  });
}

// Each change as [x, low, high] on an axis: the middle between the last spectrum before and the
// first after it, and as far as it may be off.
export function changesOn(state, places) {
  return state.changes.map(({ at, within }) => {
    const middle = place(places, at - 0.5);
    const ends = [place(places, at - 0.5 - within), place(places, at - 0.5 + within)];
    return middle === null || ends.includes(null) ? null : [middle, Math.min(...ends), Math.max(...ends)];
  }).filter(Boolean);
}

function place(places, position) {
  const inside = Math.min(Math.max(position, 0), places.length - 1);
  const [before, after] = [places[Math.floor(inside)], places[Math.ceil(inside)]];
  if (before === null || after === null) return null;
  return before + (inside - Math.floor(inside)) * (after - before);
}

// What the fit leaves, where that is more than a good fit leaves; else "".
export function misfitText(state) {
  const misfits = state.rows.map((row) => row.misfit).filter((one) => one !== null).sort((a, b) => a - b);
  const poor = misfits.filter((one) => one > GOOD_FIT).length;
  if (poor === 0) return "";
  const most = misfits.at(-1).toFixed(1);
  return `${poor} of ${misfits.length} spectra are no mixture of these: the fit leaves up to ${most} times the noise.`;
}

// The row of a result, or null.
export const rowOf = (state, uid) => state?.rows.find((row) => row.uid === uid) ?? null;
