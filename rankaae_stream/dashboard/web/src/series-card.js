// The series that the shown result belongs to, in words and numbers, with its plot.

import { $, h, setOptions, setText } from "./dom.js";
import { isOutside } from "./results.js";
import { SeriesPlot, percent } from "./series-plot.js";
import { axesOf, changesOn, isMixture, misfitText, placesOn, rowOf, spectrumName } from "./series.js";
import { clock, dateTime, edgeText, interval, levelText, plain, sentence, value } from "./words.js";

const STATE = "oxidation_state";
const LITTLE = 0.1; // share of an end out of domain up to which a valence is of use

export class SeriesCard {
  #plot;
  #store;
  #axis = "";
  #last = null; // what was drawn last

  constructor(store, choose) {
    this.#store = store;
    this.#plot = new SeriesPlot(choose);
    $("series-x").addEventListener("change", (event) => {
      this.#axis = event.target.value;
      const { found, result } = this.#last;
      this.#draw(found, result);
    });
  }

  // found: {entry, state} or null; result: the one that is shown. True when the page's places change.
  show(found, result) {
    const shown = found !== null && found.state.rows.length > 0;
    $("series").hidden = !shown;
    document.body.classList.toggle("with-series", shown);
    const before = this.#last;
    this.#last = shown ? { found, result, state: found.state, known: this.#store.size } : null;
    const same = ["state", "known"].every((one) => before?.[one] === this.#last?.[one]) && before?.result.uid === result?.uid;
    if (shown && !same) this.#draw(found, result);
    return shown !== (before !== null);
  }

  remake() {
    if (this.#last) this.#plot.remake();
  }

  // The state of the series that is shown, or null.
  get state() {
    return this.#last?.state ?? null;
  }

  #draw({ entry, state }, result) {
    const mixed = isMixture(state);
    $("series").classList.toggle("mixed", mixed);
    setText($("series-title"), `Series: ${entry.sample || edgeText(entry)}`);
    const kind = mixed ? `mixtures of ${state.ends.length} spectra` : "repeats";
    setText($("series-about"), `${state.count} spectra of ${edgeText(entry)}, ${entry.channel}, since ${dateTime(entry.time)} · ${kind}`);
    setText($("series-state"), state.complete ? "✓ Complete" : "◌ Growing");
    $("series-state").className = `state ${state.complete ? "final" : "growing"}`;
    if (mixed) this.#mixture(state, result);
    else this.#repeats(state);
    $("series-flags").replaceChildren(
      ...state.flags.map((flag) => h("li", { class: flag.severity }, h("b", {}, `${plain(flag.name)}: `), flag.message)),
    );
    this.#leftOut(state);
    this.#plotted(state, result);
  }

  #repeats(state) {
    const { merged } = state;
    setText($("series-name"), `Mean of ${state.repeats || state.count} repeats`);
    setText($("series-number"), merged ? value(STATE, merged.value) : "–");
    setText($("series-unit"), merged ? "e" : "");
    setText($("series-interval"), merged ? `${levelText(merged)}: ${interval(STATE, merged)}` : "The mean of the repeats has no answer.");
    $("series-shares").replaceChildren();
    $("series-enough").hidden = !state.enough;
    setText($("series-advice"), sentence(state.advice.replace(/^enough: /, "")));
    $("series").classList.toggle("outside", state.rows.every((row) => this.#isOutside(row)));
    setText($("series-misfit"), "");
  }

  // The shown result as a mixture; the newest one where it is not among the spectra.
  #mixture(state, result) {
    const row = rowOf(state, result.uid) ?? state.rows.at(-1);
    setText($("series-name"), `As a mixture: ${spectrumName(state, row.spectrum)}`);
    setText($("series-number"), value(STATE, row.valence));
    setText($("series-unit"), row.valence === null ? "" : "e");
    const ends = row.valence === null || row.half === null ? "" : `${value(STATE, row.valence - row.half)} to ${value(STATE, row.valence + row.half)}`;
    setText($("series-interval"), ends && `90 % interval: ${ends}`);
    const shares = row.shares.map((share, k) => [share, spectrumName(state, state.ends[k])]);
    $("series-shares").replaceChildren(...shares.map(([share, name], k) => h("li", { class: `share share-${k + 1}` }, h("b", {}, percent(share)), ` like ${name}`)));
    $("series-enough").hidden = true;
    setText($("series-advice"), "");
    const outside = state.ends.filter((end) => this.#isOutside(state.rows.find((row) => row.spectrum === end)));
    const strange = outside.map((end) => spectrumName(state, end)).join(", ");
    const unsure = row.shares.some(({ value }, k) => value > LITTLE && outside.includes(state.ends[k]));
    $("series").classList.toggle("outside", unsure);
    setText($("series-misfit"), [strange && `Out of domain: ${strange}. Valences of spectra like that should not be used.`, misfitText(state)].filter(Boolean).join(" "));
  }

  #isOutside(row) {
    const result = row ? this.#store.get(row.uid) : null;
    return result !== null && isOutside(result);
  }

  #leftOut(state) {
    const byRaw = (raw) => this.#store.all.find((result) => result.raw === raw) ?? null;
    const names = state.leftOut.map(({ spectrum, reason }) => h("li", {}, h("b", {}, `${spectrumName(state, spectrum, byRaw)}: `), reason));
    $("series-left").hidden = names.length === 0;
    setText($("series-left-title"), `Left out: ${names.length}`);
    $("series-left-list").replaceChildren(...names);
  }

  #plotted(state, result) {
    const axes = axesOf(state);
    if (!axes.some(([key]) => key === this.#axis)) this.#axis = axes[0][0];
    setOptions($("series-x"), axes, this.#axis);
    const words = axes.find(([key]) => key === this.#axis)[1];
    const mixed = isMixture(state);
    $("series-keys").replaceChildren(
      ...state.ends.slice(0, mixed ? undefined : 0).map((end, k) => key(`share-${k + 1}`, `like ${spectrumName(state, end)}`)),
      mixed ? key("whole-mixture", "valence of the mixture") : key("merged", "answer to the mean"),
      key(mixed ? "dot alone" : "dot good", "single answer"),
      ...(!mixed && state.leftOut.some(({ spectrum }) => state.rows.some((row) => row.spectrum === spectrum)) ? [key("dot left-out", "left out")] : []),
      ...(mixed && misfitText(state) ? [key("dot warned", "does not fit")] : []),
      ...(state.changes.length ? [key("change", "change of course")] : []),
    );
    const places = placesOn(state, this.#axis);
    setText($("series-changes"), inWords(state, places, this.#axis, words));
    this.#plot.show(state, { key: this.#axis, words }, result.uid);
    const over = `of ${state.rows.length} spectra against ${words}`;
    $("shares-plot").setAttribute("aria-label", `Fractions ${over}`);
    $("course-plot").setAttribute("aria-label", `${mixed ? "Valence of the mixtures" : "Valence"} ${over}. ${$("series-changes").textContent}`);
  }
}

const key = (kind, words) => h("span", { class: `key ${kind}` }, words);

function inWords(state, places, axis, words) {
  const told = changesOn(state, places).map(([middle, low, high]) => {
    const off = (high - low) / 2;
    if (axis === "time") return off < 90 ? `${clock(middle)} ± ${Math.ceil(off)} s` : `${clock(middle).slice(0, 5)} ± ${Math.ceil(off / 60)} min`;
    const whole = axis === "scan" || axis === "place";
    return whole ? `${Math.ceil(middle)} ± ${Math.ceil(off)}` : `${+middle.toPrecision(4)} ± ${+off.toPrecision(2)}`;
  });
  return told.length ? `The course changes at ${axis === "time" ? "" : `${words} `}${told.join(", ")}.` : "";
}
