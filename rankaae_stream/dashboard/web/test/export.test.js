import assert from "node:assert/strict";
import { test } from "node:test";
import { fileName, toCsv, toXdi } from "../src/export.js";
import { stateOf } from "../src/series.js";
import { estimate, finished, made } from "./made.js";

const UNITS = new Map([["oxidation_state", "e"], ["coordination_number", "1"]]); // prettier-ignore

const cells = (csv) => csv.trimEnd().split("\r\n").map((line) => line.split(",")); // prettier-ignore

test("the table has a column for each value and both ends of its interval", () => {
  const [head, row] = cells(toCsv([finished("a")], UNITS));
  const at = (name) => row[head.indexOf(name)];
  assert.deepEqual(
    ["time_utc", "scan", "sample", "oxidation_state (e)", "oxidation_state_high", "coordination_number", "final", "raw_run"].map(at),
    ["1970-01-01T00:16:40.000Z", "7", "Fe2O3", "2.9", String(2.9 + 0.3), "", "true", "raw-1"],
  );
  assert.equal(head.length, row.length);
});

test("results of the series that is shown carry their fractions and the valence of the mixture", () => {
  const [head, mine, other] = cells(toCsv([finished("result-1"), finished("another")], UNITS, stateOf(made())));
  const names = ["share_1", "share_2", "valence", "half_width"];
  assert.deepEqual(names.map((name) => mine[head.indexOf(name)]), ["0.8", "0.2", "2.8", "0.2"]); // prettier-ignore
  assert.deepEqual(names.map((name) => other[head.indexOf(name)]), ["", "", "", ""]); // prettier-ignore
  assert.ok([mine, other].every((row) => row.length === head.length));
});

test("text that a spreadsheet would run is marked, and commas and quotes are kept", () => {
  for (const name of ["=1+1", "+1", "-1", "@x", "\tx"]) {
    const csv = toCsv([finished("a", { sample_name: name })], new Map());
    assert.ok(csv.includes(`,'${name},`), name);
  }
  const csv = toCsv([finished("a", { sample_name: 'a "b", c' })], new Map());
  assert.ok(csv.includes('"a ""b"", c"'));
});

test("a spectrum is saved as XDI with its grid and what was estimated", () => {
  const curves = { energy: [7000, 7001], flat: [0, 1], reconstruction: [null, 0.9], residual: [null, 0.1] };
  const lines = toXdi(finished("a", { sample_name: "two\nlines" }), curves).split("\n");
  assert.equal(lines[0], "# XDI/1.0 rankaae-stream");
  assert.ok(lines.includes("# Sample.name: two lines"));
  const { value, low, high } = estimate(2.9);
  assert.ok(lines.includes(`# Rankaae.oxidation_state: ${value} (${low} to ${high}) e`));
  assert.deepEqual(lines.slice(-3), ["7000.0000 0.000000 nan nan", "7001.0000 1.000000 0.900000 0.100000", ""]);
});

test("a part of a spectrum is saved as what it is: not normalised", () => {
  const nothing = [null, null];
  const curves = { energy: [7000, 7001], flat: [0, null], reconstruction: nothing, residual: nothing, part: true };
  const lines = toXdi(finished("a"), curves).split("\n");
  assert.ok(lines.includes("# Column.2: mu"));
  assert.ok(!lines.some((line) => line.includes("Column.3") || line.includes("# energy norm")));
  assert.ok(lines.some((line) => line.startsWith("# Not normalised: ")));
  assert.deepEqual(lines.slice(-3), ["7000.0000 0.000000", "7001.0000 nan", ""]);
});

test("a file's name holds the sample and no path", () => {
  assert.equal(fileName(finished("0123456789"), "xdi"), "Fe2O3_7_01234567.xdi");
  assert.equal(fileName(finished("abc", { sample_name: "../../etc/pass wd", scan_id: null }), "xdi"), "etc-pass-wd_abc.xdi");
});
