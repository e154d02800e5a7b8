// What is new, as it comes: by the container's stream, or by asking where there is none.
//
// The server is asked now and then even while its stream is open: a connection
// that broke silently would otherwise look like a quiet beamline.

import { PURPOSE, SELECT, fromMetadata, fromSelected } from "./results.js";
import { sleep } from "./dom.js";

const POLL = 2000;
// A key that was refused is not tried again and again.
const PAUSES = { live: 5000, refused: 10_000, absent: 10_000 };
const MOST = 20_000;
const STREAM_AGAIN = 20_000;
const PAGE = 300;
const NEWEST = 20;
const AUTH_CLOSED = new Set([4001, 4003]);

export class Live {
  #tiled;
  #heard;
  #changed;
  #socket = null;
  #streaming = false;
  #noStreamUntil = 0;
  #known = new Set();
  #loaded = false;
  #wake = () => {};
  #round = 0;

  // heard(results, {page}) for new and changed results; changed(state) for the connection.
  constructor(tiled, heard, changed) {
    this.#tiled = tiled;
    this.#heard = heard;
    this.#changed = changed;
    this.state = { kind: "connecting", since: tiled.now(), detail: "", proxied: false };
    this.contact = null;
  }

  // Runs for as long as the page; again() asks at once, with a new key say.
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
      this.#noStreamUntil = 0; // one that returns may stream
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
    let asked = this.#page(null, PAGE);
    while (asked) {
      const page = await asked;
      const next = this.#known.size + page.runs.length < MOST ? page.next : null;
      // The server works on the next page while this one is taken in.
      asked = next === null ? null : this.#page(next, PAGE);
      asked?.catch(() => {}); // told where it is awaited
      this.#take(page.runs, { first, more: asked !== null });
      this.#reached(); // a long history is still being read when the first scan comes
      first = false;
    }
    this.#loaded = true;
  }

  #page(cursor, limit) {
    return this.#tiled.runs(PURPOSE, SELECT, { cursor, limit });
  }

  // The newest, and what was missed meanwhile: pages until one holds a result known before.
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
    for (const one of results) this.#known.add(one.uid);
    this.#heard(results, page);
  }

  #open() {
    const socket = this.#tiled.socket([]);
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#message(socket, event.data));
    socket.addEventListener("close", (event) => {
      if (socket !== this.#socket) return;
      const spoke = this.#streaming;
      this.#socket = null;
      this.#streaming = false;
      if (AUTH_CLOSED.has(event.code)) {
        this.#noStreamUntil = Date.now() + STREAM_AGAIN;
        this.#set("refused", event.reason || "the key was refused");
        return;
      }
      // One that never spoke is of a server that does not stream.
      if (!spoke) this.#noStreamUntil = Date.now() + STREAM_AGAIN;
      this.#wake();
    });
  }

  #message(socket, data) {
    if (socket !== this.#socket) return;
    let said;
    try {
      said = JSON.parse(data);
    } catch {
      return;
    }
    this.contact = this.#tiled.now();
    if (said.type === "container-schema") {
      this.#streaming = true;
      this.#set("live");
      this.#wake(); // what came between the last answer and now
      return;
    }
    if (said.metadata?.start?.purpose !== PURPOSE || typeof said.key !== "string") return;
    this.#known.add(said.key);
    this.#heard([fromMetadata(said.key, said.metadata)], { first: false, more: false });
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
