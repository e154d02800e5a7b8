// All results in a table that makes only the rows in sight, so that 10,000 are no burden.

import { $, h, setText } from "./dom.js";
import { isFlagged, isOutside } from "./results.js";
import { dateTime, descriptorName, edgeText, interval, plain, unitText, value } from "./words.js";

const MORE = 8;

export class SeriesTable {
  #store;
  #choose;
  #descriptor = () => "oxidation_state";
  #rows = [];
  #height = 37;
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
      if (row) this.#go(this.#rows.findIndex((one) => one.uid === row.dataset.uid));
    });
    $("rows").addEventListener("keydown", (event) => this.#key(event));
  }

  get rows() {
    return this.#rows;
  }

  draw() {
    this.#heads();
    const { key, down } = this.#sort;
    const of = this.#columns().find((column) => column.key === key)?.sort ?? ((one) => one.time);
    const keyed = this.#store.listed.map((one) => [of(one), one]);
    keyed.sort(([a], [b]) => compare(a, b, down));
    this.#rows = keyed.map(([, one]) => one);
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
      { key: "time", head: "Time", cell: timeCell, sort: (one) => one.time },
      { key: "scan", head: "Scan", kind: "number minor", text: (one) => String(one.scan ?? "–"), sort: (one) => one.scan },
      { key: "sample", head: "Sample", kind: "name", text: (one) => one.sample || "–", sort: (one) => one.sample.toLowerCase() },
      { key: "edge", head: "Edge", kind: "least", text: edgeText, sort: edgeText },
      { key: "channel", head: "Channel", kind: "minor", text: (one) => one.channel, sort: (one) => one.channel },
      ...estimates.map((each) => ({
        key: each,
        head: descriptorName(each) + (unitText(units.get(each)) ? ` (${unitText(units.get(each))})` : ""),
        kind: each === "oxidation_state" ? "number" : "number minor",
        cell: (one) => estimateCell(each, one),
        sort: (one) => one.estimates[each]?.value ?? null,
      })),
      { key: "state", head: "State", kind: "name", text: stateText, sort: stateText },
    ];
  }

  #heads() {
    const columns = this.#columns();
    const signature = JSON.stringify([columns.map((one) => one.head), this.#sort]);
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
    const first = Math.max(0, Math.floor(place.scrollTop / this.#height) - MORE);
    const room = Math.ceil(place.clientHeight / this.#height) + 2 * MORE;
    const last = Math.min(this.#rows.length, first + room);
    const columns = this.#columns();
    const shown = this.#store.shown?.uid;
    const stop = this.#rows.slice(first, last).some((one) => one.uid === shown) ? shown : this.#rows[first]?.uid;
    const held = document.activeElement?.closest?.("#rows tr")?.dataset.uid;
    const rows = this.#rows.slice(first, last).map((one, i) =>
      h(
        "tr",
        {
          "data-uid": one.uid,
          "aria-rowindex": first + i + 2,
          "aria-selected": String(one.uid === shown),
          tabindex: one.uid === stop ? 0 : -1,
          class: [isOutside(one) && "outside", one.refusal && "refused", !one.final && "growing"].filter(Boolean).join(" "),
        },
        ...columns.map((column) =>
          column.cell
            ? h("td", { class: column.kind }, ...column.cell(one))
            : h("td", { class: column.kind, title: column.kind === "name" ? column.text(one) : null }, column.text(one)),
        ),
      ),
    );
    const gap = (n) => h("tr", { class: "gap", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    const [above, below] = [gap(), gap()];
    above.firstChild.style.height = `${first * this.#height}px`;
    below.firstChild.style.height = `${(this.#rows.length - last) * this.#height}px`;
    const nothing = h("tr", { class: "nothing" }, h("td", { colspan: columns.length }, "No result fits the filter."));
    $("rows").replaceChildren(above, ...(rows.length ? rows : [nothing]), below);
    const target = this.#focus ? shown : held;
    this.#focus = false;
    if (target) $("rows").querySelector(`tr[data-uid="${CSS.escape(target)}"]`)?.focus({ preventScroll: true });
  }

  #key(event) {
    const row = event.target.closest("tr[data-uid]");
    if (!row) return;
    const at = this.#rows.findIndex((one) => one.uid === row.dataset.uid);
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
    const one = this.#rows[index];
    if (!one) return;
    const place = $("scroll");
    const head = $("columns").getBoundingClientRect().height;
    const top = index * this.#height;
    if (top < place.scrollTop) place.scrollTop = top;
    else if (top + this.#height > place.scrollTop + place.clientHeight - head) {
      place.scrollTop = top + this.#height - place.clientHeight + head;
    }
    this.#focus = true;
    this.#choose(one.uid);
    this.#fill();
  }
}

export function stateText(one) {
  if (one.refusal && one.final) return `refused: ${plain(one.refusal.name).toLowerCase()}`;
  const warnings = one.flags.filter((flag) => flag.severity === "warning");
  const notes = one.flags.filter((flag) => flag.severity !== "warning");
  const words = [...warnings, ...notes].map((flag) => flag.name.replaceAll("_", " "));
  if (!one.final) words.unshift("growing");
  const sign = isFlagged(one) ? "▲ " : "";
  return words.length ? sign + words.join(", ") : "good";
}

function timeCell(one) {
  const [day, time] = dateTime(one.time).split(" ");
  return [h("span", { class: "day" }, `${day} `), time];
}

function estimateCell(name, one) {
  const estimate = one.estimates[name];
  if (!estimate) return ["–"];
  return [h("b", {}, value(name, estimate.value)), " ", h("span", { class: "range" }, interval(name, estimate))];
}

// Missing values come last either way.
function compare(a, b, down) {
  const [noA, noB] = [a === null || a === "", b === null || b === ""];
  if (noA || noB) return noA - noB;
  const order = a < b ? -1 : a > b ? 1 : 0;
  return down ? -order : order;
}
