// How the interval of one result narrowed while its scan grew, and what it is made of, from the
// rows of the result's table: one row an answer.

import { CAUSES } from "./words.js";
import { number, text } from "./results.js";

const LEAST = 0.005; // a smaller share rounds to 0 %

// Rows by their number, those of `columns` added to or put in place of those known before.
export function merged(before, columns) {
  const rows = new Map(before);
  (columns?.seq_num ?? []).forEach((seq, index) => rows.set(seq, { columns, index }));
  return rows;
}

// {answers, shares, advice} of one descriptor; answers: [{energy, value, low, high, part}] in the
// order in which they were given, energy: how far the scan had come, eV; shares: [[cause, share]]
// of the newest one's interval, the largest first.
export function story(rows, name) {
  const inOrder = [...rows].sort(([a], [b]) => a - b).map(([, row]) => row);
  const at = (row, key) => row.columns[key]?.[row.index];
  const known = inOrder.map((row) => ({
    first: number(at(row, "energy_first")),
    last: number(at(row, "energy_last")),
    value: number(at(row, name)),
    low: number(at(row, `${name}_low`)),
    high: number(at(row, `${name}_high`)),
    part: number(at(row, "extent_last")) !== null,
  }));
  const answered = known.filter((one) => Object.values(one).every((each) => each !== null));
  const key = falling(answered) ? "first" : "last";
  const answers = answered.map(({ value, low, high, part, ...ends }) => ({ energy: ends[key], value, low, high, part }));
  const newest = inOrder.at(-1);
  const shares = newest ? sharesOf(at(newest, "shares"), name) : [];
  return { answers, shares, advice: newest ? text(at(newest, "advice")) : "" };
}

// Whether the scan came down from high energies: the lower of its ends moved.
function falling(answered) {
  if (answered.length < 2) return false;
  const [begin, end] = [answered[0], answered.at(-1)];
  return begin.first - end.first > end.last - begin.last;
}

function sharesOf(encoded, name) {
  let found;
  try {
    found = JSON.parse(encoded)?.[name];
  } catch {
    found = null;
  }
  return Object.keys(CAUSES)
    .map((cause) => [cause, number(found?.[cause]) ?? 0])
    .filter(([, share]) => share >= LEAST && share <= 1.000001)
    .sort((a, b) => b[1] - a[1]);
}
