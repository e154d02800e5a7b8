// Which series the shown result belongs to, and that one's state, read from Tiled.
//
// Series come with the container's stream as results do. The server is asked for the newest ones
// when results have come, for one sample's when an older result is looked at, and whether the
// one that is shown has grown: their states are large, and only that one's is read.

import { LISTING, SERIES_PURPOSE, STATE, fromListing, fromSeries, fromState, rowOf, seriesOf, stateOf, wholeOf } from "./series.js";

const NEWEST = 50; // series listed at once
const MOST = 1000; // series that are remembered
const KEPT = 20; // states that stay in memory
const PAUSES = { streaming: 20_000, polling: 4000 }; // ms between two listings, at least

export class SeriesReader {
  #tiled;
  #changed;
  #entries = new Map();
  #states = new Map();
  #wanted = null; // the result that is shown
  #asked = new Set(); // samples whose series were asked for
  #stale = true; // results came since the last listing
  #listed = 0;
  #busy = false;

  // changed() when the series of the shown result is another one, or has grown.
  constructor(tiled, changed) {
    this.#tiled = tiled;
    this.#changed = changed;
  }

  // The stream told of a series.
  hear(uid, metadata) {
    this.#enter([fromSeries(uid, metadata)]);
    if (this.#entry?.uid === uid) this.#keep(uid, stateOf(metadata));
    this.#changed();
  }

  // Results came, and may have made a series grow.
  news() {
    this.#stale = true;
  }

  // The series of a result as far as it is known: {entry, state} or null; more is read meanwhile.
  of(result) {
    const another = this.#wanted?.uid !== result.uid;
    this.#wanted = result;
    if (another) this.#work(() => this.#complete());
    const entry = this.#entry;
    const state = entry && this.#states.get(entry.uid);
    return state ? { entry, state } : null;
  }

  // Called after each answer of the server.
  poll(streaming) {
    const pause = PAUSES[streaming ? "streaming" : "polling"];
    const due = this.#stale && Date.now() - this.#listed >= pause;
    this.#work(async () => {
      if (due) await this.#list();
      else await this.#look();
      await this.#complete();
    });
  }

  get #entry() {
    if (!this.#wanted) return null;
    const holds = ([uid, state]) => this.#entries.has(uid) && rowOf(state, this.#wanted.uid);
    const [uid] = [...this.#states].find(holds) ?? [];
    const found = this.#entries.get(uid) ?? seriesOf(this.#wanted, this.#entries.values());
    return found && wholeOf(found, this.#entries.values(), this.#states);
  }

  // One thing at a time; what fails is done again with the next poll.
  async #work(task) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await task();
    } catch {
      this.#stale = true;
    } finally {
      this.#busy = false;
    }
  }

  async #list() {
    this.#listed = Date.now();
    this.#stale = false;
    await this.#search({}, NEWEST);
  }

  async #search(where, limit) {
    const { runs } = await this.#tiled.runs(SERIES_PURPOSE, LISTING, { limit, where });
    this.#enter(runs.map(({ uid, selected }) => fromListing(uid, selected)));
  }

  // Whether the shown series has grown, where no stream told so.
  async #look() {
    const entry = this.#entry;
    if (!entry || entry.complete) return;
    this.#enter([fromListing(entry.uid, await this.#tiled.metadata([entry.uid], LISTING))]);
  }

  // Read what the shown result lacks: its sample's series, and that one's state.
  async #complete() {
    const result = this.#wanted;
    if (!result) return;
    if (!this.#entry && result.final) await this.#ofSample(result);
    const entry = this.#entry;
    if (entry && !isOf(this.#states.get(entry.uid), entry)) {
      this.#keep(entry.uid, fromState(await this.#tiled.metadata([entry.uid], STATE)));
      this.#changed();
    }
    // Another result may have been chosen meanwhile.
    if (this.#wanted !== result && this.#wanted?.uid !== result.uid) await this.#complete();
  }

  async #ofSample(result) {
    const name = result.start.sample_name;
    const where = typeof name === "string" && name ? { "start.sample_name": name } : { "start.group.uid": result.raw };
    const key = JSON.stringify(where);
    if (this.#asked.has(key)) return;
    this.#asked.add(key);
    try {
      await this.#search(where, NEWEST);
    } catch (error) {
      this.#asked.delete(key);
      throw error;
    }
  }

  #enter(entries) {
    for (const entry of entries) {
      const before = this.#entries.get(entry.uid);
      if (before && (before.count > entry.count || (before.complete && before.count === entry.count))) continue;
      this.#entries.delete(entry.uid);
      this.#entries.set(entry.uid, entry);
    }
    while (this.#entries.size > MOST) this.#entries.delete(this.#entries.keys().next().value);
  }

  #keep(uid, state) {
    if (!state) return;
    this.#states.delete(uid);
    this.#states.set(uid, state);
    if (this.#states.size > KEPT) this.#states.delete(this.#states.keys().next().value);
  }
}

const isOf = (state, entry) => state !== undefined && state.count >= entry.count && (state.complete || !entry.complete);
