// One run that is still growing: its rows and curves, by its streams or by asking.

import { sleep } from "./dom.js";

const FIRST = 300;
const SLOWEST = 3000;
const POLL = 2000;

export class Growing {
  #tiled;
  #told;
  #streams;
  #sockets = [];
  #ended = false;
  #columns = null;
  #curves = null;

  // told({columns, index, curves}) with each report; streams() whether the server streams.
  constructor(tiled, uid, streams, told) {
    this.#tiled = tiled;
    this.uid = uid;
    this.#streams = streams;
    this.#told = told;
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
        // The connection's state is told elsewhere; here it is only tried again.
      }
      do await sleep(POLL);
      while (!this.#ended && this.#sockets.length > 0);
    }
  }

  // The first report makes the table; before it there is nothing to read.
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
    this.#tell(columns);
  }

  #follow() {
    const listen = (key, take) => {
      const socket = this.#tiled.socket([this.uid, "primary", key]);
      this.#sockets.push(socket);
      socket.addEventListener("message", (event) => {
        if (this.#ended) return;
        const said = JSON.parse(event.data);
        if (said.payload) take(said.payload);
      });
      socket.addEventListener("close", () => {
        for (const other of this.#sockets) if (other !== socket) other.close();
        this.#sockets = [];
      });
    };
    listen("internal", (columns) => {
      if (this.#newer(columns) !== null) this.#tell(columns);
    });
    // Curves come before the row of the same report, which tells of both.
    if (this.hasCurves) listen("curves", (block) => (this.#curves = block[block.length - 1]));
  }

  // The last row's number where it is not older than what was told before.
  #newer(columns) {
    const last = (of) => of?.seq_num?.[of.seq_num.length - 1] ?? 0;
    return this.#columns === null || last(columns) >= last(this.#columns) ? last(columns) : null;
  }

  #tell(columns) {
    this.#columns = columns;
    const rows = columns.seq_num?.length ?? 0;
    if (rows > 0) this.#told({ columns, index: rows - 1, curves: this.#curves });
  }
}
