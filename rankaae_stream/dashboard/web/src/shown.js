// The result that is shown: its numbers, its curves, and where its raw run is.

import { arrange } from "./curves.js";
import { showCurrent } from "./current.js";
import { $, h, setText } from "./dom.js";
import { withRow } from "./results.js";
import { joined } from "./tiled.js";
import { edgeText } from "./words.js";

const AGAIN = 3000; // ms until curves that could not be read are asked for again

export class ShownResult {
  #tiled;
  #store;
  #curves;
  #show;
  #raw;
  #drawn = null; // the result as drawn last

  // show(result, curves or null, reason, rows or null) draws curves and rows; raw: {tree, root} of the raw runs.
  constructor({ tiled, store, curves, show, raw }) {
    this.#tiled = tiled;
    this.#store = store;
    this.#curves = curves;
    this.#show = show;
    this.#raw = raw;
  }

  draw(result) {
    const before = this.#drawn;
    const same = before?.uid === result.uid;
    if (same && before.updated === result.updated && before.final === result.final) return;
    this.#drawn = result;
    // Its raw run may come after its first answer.
    if (!same || result.final) this.#showRaw(result);
    document.title = `${result.sample || edgeText(result) || "XANES"} · XANES live`;
    showCurrent(result);
    if (result.final) this.#showFinal(result);
    else if (!same) this.#show(result, null, "Waiting for the first answer of this scan.");
  }

  // Take a growing run's row into the store, and draw it where that run is shown; the updated
  // result, or null where the row comes too late.
  async grow(uid, { columns, index, curves, rows }) {
    const about = await this.#curves.about(this.#store.get(uid)).catch(() => null);
    const before = this.#store.get(uid);
    if (!about || before.final) return null;
    const updated = withRow(before, columns, index, about);
    this.#store.grow(updated);
    if (this.#store.shown.uid === uid) {
      this.draw(updated);
      this.#show(updated, arrange(curves, about), "No spectrum on the model’s grid yet.", rows);
    }
    return updated;
  }

  async #showFinal(result) {
    let found = null;
    const rows = this.#curves.rows(result).catch(() => null); // without them there is the answer
    let reason = result.refusal
      ? "Refused: there is no spectrum on the model’s grid."
      : "This result has no spectrum on the model’s grid.";
    try {
      found = await this.#curves.final(result);
    } catch (error) {
      if (error.status !== 404) {
        reason = "The spectrum could not be read from the server; trying again.";
        setTimeout(() => this.#isShown(result) && this.#showFinal(result), AGAIN);
      }
    }
    const known = await rows;
    if (!this.#isShown(result) || this.#store.get(result.uid)?.final === false) return;
    this.#show(result, found, reason, known);
  }

  async #showRaw(result) {
    const { tree, root } = this.#raw;
    const short = result.raw.slice(0, 8);
    setText($("raw"), "");
    let there = false;
    try {
      there = result.raw !== "" && (await this.#tiled.has(tree, result.raw));
    } catch {
      return;
    }
    if (!this.#isShown(result)) return;
    if (there) {
      const address = new URL(`ui/browse/${joined(tree, result.raw)}`, root);
      const link = h("a", { href: address.href, target: "_blank", rel: "noopener" }, `Raw scan ${short} in Tiled`);
      $("raw").replaceChildren(link);
    } else if (short) setText($("raw"), `Raw scan ${short}: not in the tree “${tree}” of this server.`);
  }

  // Another result may have been chosen while this one's data were fetched.
  #isShown(result) {
    return this.#store.shown?.uid === result.uid;
  }
}
