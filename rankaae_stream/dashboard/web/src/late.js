// Whether results are late, by what those who publish them write into Tiled while they are.
// Nothing is written while all is well, so that without a notice there is nothing to show.

import { $, setText } from "./dom.js";
import { asList, isObject, number, text } from "./results.js";
import { announce } from "./status.js";
import { clock, dateTime, sentence, span } from "./words.js";

// As rankaae_stream/results/late.py publishes it; a test compares the two.
export const LATE_PURPOSE = "lateness of results by rankaae-stream";

const NOTICE = "to_string([stop.summary])";
const MOST = 50; // notices read at once: one a spool
const PAUSES = { streaming: 20_000, polling: 4000 }; // ms between two listings, at least
export const OLD = 300; // s after which a notice that is not renewed is old: ten times RENEW
export const GONE = 86_400; // s after which nobody waits for it any more

export class LateReader {
  #tiled;
  #notices = new Map();
  #listed = -Infinity;
  #busy = false;

  constructor(tiled) {
    this.#tiled = tiled;
  }

  // The stream told of a notice.
  hear(uid, metadata) {
    this.#notices.set(uid, fromNotice(metadata?.stop?.summary));
    this.show();
  }

  // Called after each answer of the server; what fails is done again with the next.
  async poll(streaming) {
    if (this.#busy || Date.now() - this.#listed < PAUSES[streaming ? "streaming" : "polling"]) return;
    this.#busy = true;
    try {
      const { runs } = await this.#tiled.runs(LATE_PURPOSE, NOTICE, { limit: MOST });
      this.#listed = Date.now();
      this.#notices = new Map(runs.map(({ uid, selected }) => [uid, fromNotice(asList(selected)[0])]));
      this.show();
    } catch {
      // The state of the connection says it.
    } finally {
      this.#busy = false;
    }
  }

  show() {
    const words = lateText([...this.#notices.values()], this.#tiled.now());
    if (words && $("late").hidden) announce(words); // once: its minutes grow
    $("late").hidden = !words;
    setText($("late"), words);
  }
}

// {since, told, unsent, analysis, reason, profile}; since is null where nothing is late.
export function fromNotice(summary) {
  const { since, told, unsent, analysis, reason, profile } = isObject(summary) ? summary : {};
  return {
    since: number(since) || null,
    told: number(told) ?? 0,
    unsent: number(unsent) ?? 0,
    analysis: analysis === true,
    reason: text(reason),
    profile: text(profile),
  };
}

// What the notices say at a moment, the longest wait first; empty where nothing is late.
export function lateText(notices, now) {
  const late = notices.filter((one) => one.since !== null && now - one.told < GONE);
  const told = late.sort((a, b) => a.since - b.since).map((one) => noticeText(one, now));
  return told.join(" ");
}

function noticeText({ since, told, unsent, analysis, reason, profile }, now) {
  const whose = profile ? `Results of profile “${profile}”` : "Results";
  const many = unsent === 1 ? "1 result waits" : `${unsent} results wait`;
  if (now - told > OLD) {
    const what = unsent ? `${many} since ${moment(since, now)}` : `scans have waited for analysis since ${moment(since, now)}`;
    return `${whose} were late when last heard of, ${span(now - told)} ago: ${what}. The session or service may have ended; the next one with this profile sends what it has kept.`;
  }
  const oldest = `for ${span(now - since)}, since ${moment(since, now)}`;
  const why = reason ? ` ${sentence(reason)}` : "";
  if (analysis) {
    const also = unsent ? ` ${many} to be stored.` : "";
    return `${whose} are late: scans have waited for analysis ${oldest}.${also}${why}`;
  }
  const waits = unsent === 1 ? "1 result has" : `${unsent} results have`;
  return `${whose} are late: ${waits} waited to be stored, the oldest ${oldest}.${why}`;
}

const moment = (seconds, now) => (now - seconds < 43_200 ? clock(seconds) : dateTime(seconds));
