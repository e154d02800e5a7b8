import assert from "node:assert/strict";
import { test } from "node:test";
import { GONE, OLD, fromNotice, lateText } from "../src/late.js";
import { clock } from "../src/words.js";

const NOW = 1_000_000;
const notice = (more = {}) =>
  fromNotice({ since: NOW - 360, told: NOW - 5, unsent: 12, analysis: false, reason: "Tiled answers HTTP 500", profile: "iss", ...more });

test("a notice says since when and why", () => {
  assert.equal(
    lateText([notice()], NOW),
    `Results of profile “iss” are late: 12 results have waited to be stored, the oldest for 6 min, since ${clock(NOW - 360)}. Tiled answers HTTP 500.`,
  );
  assert.match(lateText([notice({ unsent: 1 })], NOW), /: 1 result has waited to be stored/);
});

test("where documents are the oldest it is the analysis that is behind", () => {
  const words = lateText([notice({ analysis: true, unsent: 0, reason: "" })], NOW);
  assert.match(words, /scans have waited for analysis for 6 min, since .*\.$/);
  assert.match(lateText([notice({ analysis: true })], NOW), /12 results wait to be stored\. Tiled/);
});

test("nothing is shown where nothing is late, or the notice was taken back", () => {
  assert.equal(lateText([], NOW), "");
  assert.equal(lateText([notice({ since: 0 })], NOW), "");
});

test("a notice that nobody renews is told as old, and is gone after a day", () => {
  const later = NOW + OLD + 1;
  assert.match(lateText([notice()], later), /were late when last heard of, 5 min ago: 12 results wait since/);
  assert.match(lateText([notice()], later), /may have ended/);
  assert.equal(lateText([notice()], NOW + GONE), "");
});

test("of several spools the longest wait comes first", () => {
  const words = lateText([notice({ profile: "b" }), notice({ profile: "a", since: NOW - 7200 })], NOW);
  assert.ok(words.indexOf("“a”") < words.indexOf("“b”"));
});

test("whatever a server sends, there is a sentence or none", () => {
  for (const summary of [undefined, null, 7, "x", [], {}, { since: "x", told: null }, { since: NaN }]) {
    assert.equal(lateText([fromNotice(summary)], NOW), "");
  }
  assert.equal(typeof lateText([fromNotice({ since: 1, told: NOW, unsent: {}, reason: { a: 1 } })], NOW), "string");
});
