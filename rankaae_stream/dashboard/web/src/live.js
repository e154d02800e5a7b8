// New results as they come: from the container's stream, or by polling where there is none.
//
// The server is asked now and then even while its stream is open: a connection
// that broke silently would otherwise look like a quiet beamline.

import { PURPOSE, SELECT, fromMetadata, fromSelected } from "./results.js";
import { LATE_PURPOSE } from "./late.js";
import { SERIES_PURPOSE } from "./series.js";
import { sleep } from "./dom.js";

// ms between two questions, by the connection's state; POLL in all others. The status line
// and the banner name POLL in words.
const POLL = 2000;
const PAUSES = { live: 5000, refused: 10_000, absent: 10_000 };
const STREAM_AGAIN = 20_000; // ms until a server that did not stream is asked for it again
const MOST = 20_000; // results read at start, newest first
const PAGE = 300; // the most runs that Tiled lists in a single answer
const NEWEST = 20; // runs asked for when little is new
const AUTH_CLOSED = new Set([4001, 4003]); // websocket codes with which Tiled refuses a key

export class Live {
  #tiled;
  #receive;
  #changed;
  #hear;
  #socket = null;
  #streaming = false;
  #noStreamUntil = 0;
  #known = new Set();
  #loaded = false;
  #wake = () => {};
  #round = 0;

  // receive(results, {first, more}) for new and changed results; changed(state, same) for the
  // connection; hear(purpose, uid, metadata) for series and notices, as the stream tells of them.
  constructor(tiled, receive, changed, hear) {
    this.#tiled = tiled;
    this.#receive = receive;
    this.#changed = changed;
    this.#hear = hear;
    this.state = { kind: "connecting", since: tiled.now(), detail: "", proxied: false };
    this.contact = null;
  }

  // Run as long as the page; again() asks at once, for example with a new key.
  async run() {
    for (;;) {
      await this.#ask();
      const pause = PAUSES[this.state.kind] ?? POLL;
      await Promise.race([sleep(pause), new Promise((wake) => (this.#wake = wake))]);
    }
  }

  again() {
    this.#noStreamUntil = 0;
    this.#wake();
  }

  get streaming() {
    return this.#streaming;
  }

  async #ask() {
    const round = ++this.#round;
    try {
      if (this.#loaded) await this.#newest();
      else await this.#history();
      this.#reached();
    } catch (error) {
      if (round !== this.#round) return;
      this.#close();
      this.#noStreamUntil = 0; // a server that returns may stream
      const kind = { 401: "refused", 403: "refused", 404: "absent" }[error.status] ?? "lost";
      this.#set(kind, error.message, error.proxied === true);
    }
  }

  #reached() {
    this.contact = this.#tiled.now();
    if (this.#streaming) this.#set("live");
    else if (Date.now() < this.#noStreamUntil) this.#set("polling");
    if (!this.#socket && Date.now() >= this.#noStreamUntil) this.#open();
  }

  async #history() {
    let first = true;
    let answer = this.#page(null, PAGE);
    while (answer) {
      const page = await answer;
      const next = this.#known.size + page.runs.length < MOST ? page.next : null;
      // The server works on the next page while this page is read.
      answer = next === null ? null : this.#page(next, PAGE);
      answer?.catch(() => {}); // raised where it is awaited
      this.#take(page.runs, { first, more: answer !== null });
      this.#reached(); // a long history is still being read when the first scan comes
      first = false;
    }
    this.#loaded = true;
  }

  #page(cursor, limit) {
    return this.#tiled.runs(PURPOSE, SELECT, { cursor, limit });
  }

  // The newest results and all that were missed: pages until a known result is met.
  async #newest() {
    let cursor = null;
    let limit = NEWEST;
    for (;;) {
      const page = await this.#page(cursor, limit);
      const met = page.runs.some((run) => this.#known.has(run.uid));
      this.#take(page.runs, { first: false, more: false });
      if (met || page.next === null) return;
      cursor = page.next;
      limit = PAGE;
    }
  }

  #take(runs, page) {
    const results = runs.map(({ uid, selected }) => fromSelected(uid, selected));
    for (const { uid } of results) this.#known.add(uid);
    this.#receive(results, page);
  }

  #open() {
    const socket = this.#tiled.socket([]);
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#message(socket, event.data));
    socket.addEventListener("close", (event) => {
      if (socket !== this.#socket) return;
      const streamed = this.#streaming;
      this.#socket = null;
      this.#streaming = false;
      if (AUTH_CLOSED.has(event.code)) {
        this.#noStreamUntil = Date.now() + STREAM_AGAIN;
        this.#set("refused", event.reason || "the key was refused");
        return;
      }
      // A socket without any message is that of a server that does not stream.
      if (!streamed) this.#noStreamUntil = Date.now() + STREAM_AGAIN;
      this.#wake();
    });
  }

  #message(socket, data) {
    if (socket !== this.#socket) return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    this.contact = this.#tiled.now();
    if (message.type === "container-schema") {
      this.#streaming = true;
      this.#set("live");
      this.#wake(); // for results between the last answer and now
      return;
    }
    const { key, metadata } = message;
    if (typeof key !== "string") return;
    const purpose = metadata?.start?.purpose;
    if (purpose === SERIES_PURPOSE || purpose === LATE_PURPOSE) this.#hear(purpose, key, metadata);
    if (purpose !== PURPOSE) return;
    this.#known.add(key);
    this.#receive([fromMetadata(key, metadata)], { first: false, more: false });
  }

  #close() {
    const socket = this.#socket;
    this.#socket = null;
    this.#streaming = false;
    socket?.close();
  }

  #set(kind, detail = "", proxied = false) {
    const before = this.state;
    const same = before.kind === kind && before.detail === detail;
    const since = kind === "lost" ? (this.contact ?? before.since) : this.#tiled.now();
    this.state = { kind, detail, proxied, since: same ? before.since : since };
    this.#changed(this.state, same);
  }
}
