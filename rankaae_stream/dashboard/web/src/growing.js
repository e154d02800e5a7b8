// Rows and curves of a run that is still growing, from its streams or by polling.

import { sleep } from "./dom.js";
import { merged } from "./story.js";

// In ms. A run's first report comes within a second or minutes after its start: asked for
// soon, then less and less often.
const FIRST = 300;
const SLOWEST = 3000;
const POLL = 2000; // as often as the page polls for new results

class Growing {
  #tiled;
  #report;
  #streams;
  #sockets = [];
  #ended = false;
  #columns = null;
  #curves = null;
  #rows = null;

  // report({columns, index, curves, rows}) for each row; streams() whether the server streams.
  constructor(tiled, uid, streams, report) {
    this.#tiled = tiled;
    this.uid = uid;
    this.#streams = streams;
    this.#report = report;
    this.#run();
  }

  end() {
    this.#ended = true;
    for (const socket of this.#sockets) socket.close();
    this.#sockets = [];
  }

  async #run() {
    const children = await this.#appeared();
    if (children === null) return;
    this.hasCurves = children.includes("curves");
    while (!this.#ended) {
      try {
        if (this.#streams() && this.#sockets.length === 0) this.#follow();
        await this.#pull();
      } catch {
        // Live shows the state of the connection; here it is only tried again.
      }
      do await sleep(POLL);
      while (!this.#ended && this.#sockets.length > 0);
    }
  }

  // Wait for the first report, with which the table is made; its children, or null once ended.
  async #appeared() {
    for (let pause = FIRST; !this.#ended; pause = Math.min(1.3 * pause, SLOWEST)) {
      try {
        const children = await this.#tiled.children(this.uid, "primary");
        if (children.includes("internal")) return children;
      } catch {
        // not there yet
      }
      await sleep(pause);
    }
    return null;
  }

  async #pull() {
    const table = this.#tiled.table([this.uid, "primary", "internal"]);
    const curves = this.hasCurves
      ? this.#tiled.array([this.uid, "primary", "curves"], "-1")
      : Promise.resolve(null);
    const [columns, newest] = await Promise.all([table, curves]);
    if (this.#ended || this.#newer(columns) === null) return;
    this.#curves = newest;
    this.#show(columns);
  }

  #follow() {
    const listen = (key, take) => {
      const socket = this.#tiled.socket([this.uid, "primary", key]);
      this.#sockets.push(socket);
      socket.addEventListener("message", (event) => {
        if (this.#ended) return;
        const { payload } = JSON.parse(event.data);
        if (payload) take(payload);
      });
      socket.addEventListener("close", () => {
        for (const other of this.#sockets) if (other !== socket) other.close();
        this.#sockets = [];
      });
    };
    listen("internal", (columns) => {
      if (this.#newer(columns) !== null) this.#show(columns);
    });
    // The curves of a report come before its row.
    if (this.hasCurves) listen("curves", (block) => (this.#curves = block[block.length - 1]));
  }

  // The last row's number where it is not older than the row reported before, else null.
  #newer(columns) {
    const last = (of) => of?.seq_num?.[of.seq_num.length - 1] ?? 0;
    return this.#columns === null || last(columns) >= last(this.#columns) ? last(columns) : null;
  }

  #show(columns) {
    this.#columns = columns;
    this.#rows = merged(this.#rows, columns);
    const count = columns.seq_num?.length ?? 0;
    if (count > 0) this.#report({ columns, index: count - 1, curves: this.#curves, rows: this.#rows });
  }
}

// Follows the reports of one growing run at a time.
export class Follower {
  #make;
  #run = null;

  // report(uid, {columns, index, curves, rows}) for each row; streams() whether the server streams.
  constructor(tiled, streams, report) {
    this.#make = (uid) => new Growing(tiled, uid, streams, (row) => report(uid, row));
  }

  // Follow this run from now on and end the one before; null for none.
  follow(uid) {
    if (uid === (this.#run?.uid ?? null)) return;
    this.#run?.end();
    this.#run = uid === null ? null : this.#make(uid);
  }
}
