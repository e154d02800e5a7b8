// All results in a table; only the rows in sight are built, so that 10,000 stay quick.

import { $, h, setText } from "./dom.js";
import { isFlagged, isOutside } from "./results.js";
import { dateTime, descriptorName, edgeText, interval, plain, unitText, value } from "./words.js";

const SPARE = 8; // rows above and below those in sight, so that scrolling shows no gap

export class ResultsTable {
  #store;
  #choose;
  #descriptor = () => "oxidation_state";
  #rows = [];
  #height = 37; // of a row, in px, until one is measured
  #sort = { key: "time", down: true };
  #focus = false;

  // choose(uid) when a row is chosen; descriptor() the name of the one shown in the trend.
  constructor(store, descriptor, choose) {
    this.#store = store;
    this.#descriptor = descriptor;
    this.#choose = choose;
    $("scroll").addEventListener("scroll", () => this.#fill(), { passive: true });
    new ResizeObserver(() => this.#fill()).observe($("scroll"));
    $("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-uid]");
      if (row) this.#go(this.#rows.findIndex((result) => result.uid === row.dataset.uid));
    });
    $("rows").addEventListener("keydown", (event) => this.#key(event));
  }

  get rows() {
    return this.#rows;
  }

  draw() {
    this.#heads();
    const { key, down } = this.#sort;
    const of = this.#columns().find((column) => column.key === key)?.sort ?? ((result) => result.time);
    this.#rows = sorted(this.#store.listed, of, down);
    const [listed, all] = [this.#rows.length, this.#store.size];
    setText($("count"), listed === all ? `${all}` : `${listed} of ${all}`);
    $("table").setAttribute("aria-rowcount", String(listed + 1));
    this.#fill();
  }

  #columns() {
    const name = this.#descriptor();
    const estimates = ["oxidation_state", "coordination_number"];
    if (!estimates.includes(name)) estimates.push(name);
    const units = this.#store.descriptors;
    return [
      { key: "time", head: "Time", cell: timeCell, sort: (result) => result.time },
      { key: "scan", head: "Scan", kind: "number minor", text: (result) => String(result.scan ?? "–"), sort: (result) => result.scan },
      { key: "sample", head: "Sample", kind: "name", text: (result) => result.sample || "–", sort: (result) => result.sample.toLowerCase() },
      { key: "edge", head: "Edge", kind: "least", text: edgeText, sort: edgeText },
      { key: "channel", head: "Channel", kind: "minor", text: (result) => result.channel, sort: (result) => result.channel },
      ...estimates.map((each) => ({
        key: each,
        head: descriptorName(each) + (unitText(units.get(each)) ? ` (${unitText(units.get(each))})` : ""),
        kind: each === "oxidation_state" ? "number" : "number minor",
        cell: (result) => estimateCell(each, result),
        sort: (result) => result.estimates[each]?.value ?? null,
      })),
      { key: "state", head: "State", kind: "name", text: stateText, sort: stateText },
    ];
  }

  #heads() {
    const columns = this.#columns();
    const signature = JSON.stringify([columns.map((result) => result.head), this.#sort]);
    if ($("columns").dataset.signature === signature) return;
    const focused = document.activeElement?.closest?.("th")?.dataset.key;
    $("columns").dataset.signature = signature;
    $("columns").replaceChildren(
      ...columns.map(({ key, head, kind }) => {
        const sorted = this.#sort.key === key;
        const direction = this.#sort.down ? "descending" : "ascending";
        const arrow = sorted ? (this.#sort.down ? " ▼" : " ▲") : "";
        const button = h("button", { type: "button" }, head, h("span", { "aria-hidden": "true" }, arrow));
        button.addEventListener("click", () => {
          this.#sort = { key, down: sorted ? !this.#sort.down : key === "time" };
          this.draw();
        });
        return h(
          "th",
          { scope: "col", class: kind, "data-key": key, "aria-sort": sorted ? direction : "none" },
          button,
        );
      }),
    );
    if (focused) $("columns").querySelector(`th[data-key="${CSS.escape(focused)}"] button`)?.focus();
  }

  #fill() {
    const place = $("scroll");
    const sample = $("rows").querySelector("tr[data-uid]");
    if (sample) this.#height = sample.getBoundingClientRect().height || this.#height;
    const first = Math.max(0, Math.floor(place.scrollTop / this.#height) - SPARE);
    const room = Math.ceil(place.clientHeight / this.#height) + 2 * SPARE;
    const last = Math.min(this.#rows.length, first + room);
    const columns = this.#columns();
    const shown = this.#store.shown?.uid;
    const stop = this.#rows.slice(first, last).some((result) => result.uid === shown) ? shown : this.#rows[first]?.uid;
    const held = document.activeElement?.closest?.("#rows tr")?.dataset.uid;
    const rows = this.#rows.slice(first, last).map((result, i) =>
      h(
        "tr",
        {
          "data-uid": result.uid,
          "aria-rowindex": first + i + 2,
          "aria-selected": String(result.uid === shown),
          tabindex: result.uid === stop ? 0 : -1,
          class: [isOutside(result) && "outside", result.refusal && "refused", !result.final && "growing"].filter(Boolean).join(" "),
        },
        ...columns.map((column) =>
          column.cell
            ? h("td", { class: column.kind }, ...column.cell(result))
            : h("td", { class: column.kind, title: column.kind === "name" ? column.text(result) : null }, column.text(result)),
        ),
      ),
    );
    const gap = (n) => h("tr", { class: "gap", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    const [above, below] = [gap(), gap()];
    above.firstChild.style.height = `${first * this.#height}px`;
    below.firstChild.style.height = `${(this.#rows.length - last) * this.#height}px`;
    const nothing = h("tr", { class: "nothing" }, h("td", { colspan: columns.length }, "No result matches the filter."));
    $("rows").replaceChildren(above, ...(rows.length ? rows : [nothing]), below);
    const target = this.#focus ? shown : held;
    this.#focus = false;
    if (target) $("rows").querySelector(`tr[data-uid="${CSS.escape(target)}"]`)?.focus({ preventScroll: true });
  }

  #key(event) {
    const row = event.target.closest("tr[data-uid]");
    if (!row) return;
    const at = this.#rows.findIndex((result) => result.uid === row.dataset.uid);
    const page = Math.max(1, Math.floor($("scroll").clientHeight / this.#height) - 2);
    const last = this.#rows.length - 1;
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: last,
      Enter: at,
      " ": at,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#go(Math.min(Math.max(to, 0), last));
  }

  #go(index) {
    const result = this.#rows[index];
    if (!result) return;
    const place = $("scroll");
    const head = $("columns").getBoundingClientRect().height;
    const top = index * this.#height;
    if (top < place.scrollTop) place.scrollTop = top;
    else if (top + this.#height > place.scrollTop + place.clientHeight - head) {
      place.scrollTop = top + this.#height - place.clientHeight + head;
    }
    this.#focus = true;
    this.#choose(result.uid);
    this.#fill();
  }
}

export function stateText(result) {
  if (result.refusal && result.final) return `refused: ${plain(result.refusal.name).toLowerCase()}`;
  const warnings = result.flags.filter((flag) => flag.severity === "warning");
  const notes = result.flags.filter((flag) => flag.severity !== "warning");
  const words = [...warnings, ...notes].map((flag) => flag.name.replaceAll("_", " "));
  if (!result.final) words.unshift("growing");
  const sign = isFlagged(result) ? "▲ " : "";
  return words.length ? sign + words.join(", ") : "good";
}

function timeCell(result) {
  const [day, time] = dateTime(result.time).split(" ");
  return [h("span", { class: "day" }, `${day} `), time];
}

function estimateCell(name, result) {
  const estimate = result.estimates[name];
  if (!estimate) return ["–"];
  return [h("b", {}, value(name, estimate.value)), " ", h("span", { class: "range" }, interval(name, estimate))];
}

// The results in the order of key(result); those without one come last either way.
export function sorted(results, key, down) {
  const keyed = results.map((result) => [key(result), result]);
  keyed.sort(([a], [b]) => compare(a, b, down));
  return keyed.map(([, result]) => result);
}

function compare(a, b, down) {
  const [noA, noB] = [a === null || a === "", b === null || b === ""];
  if (noA || noB) return noA - noB;
  const order = a < b ? -1 : a > b ? 1 : 0;
  return down ? -order : order;
}
