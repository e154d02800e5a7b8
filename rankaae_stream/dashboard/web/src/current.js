// The result in large type: sample, value with interval, refusal and flags.

import { $, h, setText } from "./dom.js";
import { isAnswered, isOutside } from "./results.js";
import { SILENT } from "./status.js";
import { descriptorName, edgeText, interval, levelText, plain, unitText, value } from "./words.js";

const HERO = "oxidation_state";

// The descriptor in large type, or undefined where a result has none.
export function heroOf(result) {
  const names = Object.keys(result.estimates);
  return names.includes(HERO) ? HERO : names[0];
}

export function showCurrent(result) {
  setText($("sample"), result.sample || "No sample name");
  const about = [edgeText(result), result.channel, result.scan === null ? "" : `scan ${result.scan}`];
  if (result.sweep > 0) about.push(`sweep ${result.sweep + 1}`);
  if (result.points !== null) about.push(`${result.points} points`);
  setText($("about"), about.filter(Boolean).join(" · "));
  showState(result);
  const refused = result.refusal !== null;
  const names = Object.keys(result.estimates);
  const hero = heroOf(result);
  $("hero").hidden = !hero;
  $("hero").classList.toggle("outside", isOutside(result));
  if (hero) showHero(hero, result.estimates[hero], result.hints.has(hero));
  $("refusal").hidden = !refused && Boolean(hero);
  const waiting = !result.final;
  if (refused) {
    const sentence = result.refusal.message || "no reason was given";
    const name = plain(result.refusal.name).toLowerCase();
    $("refusal").replaceChildren(h("b", {}, waiting ? "No answer yet: " : `Refused: ${name}. `), sentence);
  } else if (!hero) setText($("refusal"), "Waiting for the first answer of this scan.");
  $("refusal").classList.toggle("waiting", waiting);
  $("others").replaceChildren(...names.filter((name) => name !== hero).map((name) => other(name, result.estimates[name], result.hints.has(name))));
  $("others").classList.toggle("outside", isOutside(result));
  $("hint").hidden = !names.some((name) => result.hints.has(name));
  $("flags").replaceChildren(
    ...result.flags.map((flag) =>
      h("li", { class: flag.severity }, h("b", {}, `${plain(flag.name)}: `), flag.message),
    ),
  );
}

// Which model answered, where others have answered the same spectrum, too: one click away.
// answers: all of them; choose(result) when one is asked for.
export function showModels(result, answers, choose) {
  const others = answers.filter(({ uid }) => uid !== result.uid);
  $("models").hidden = others.length === 0;
  const buttons = others.map((one) => {
    const button = h("button", { type: "button", class: "tool", "data-uid": one.uid }, `${modelText(one)}: ${answerText(one)}`);
    button.addEventListener("click", () => choose(one));
    return button;
  });
  $("models").replaceChildren("Answered by ", h("b", {}, modelText(result)), "; also by ", ...buttons);
}

const modelText = ({ model }) => [model.name, model.version].filter(Boolean).join(" ") || "no model";

function answerText(result) {
  const name = heroOf(result);
  if (!name) return result.refusal ? `refused, ${plain(result.refusal.name).toLowerCase()}` : "no answer";
  const estimate = result.estimates[name];
  return `${value(name, estimate.value)} (${interval(name, estimate)})`;
}

// The scan that is being measured, while an earlier result is shown.
export function showNext(result, now) {
  $("next").hidden = !result;
  if (!result) return;
  const [first, last] = result.range ?? [null, null];
  const words = [result.scan === null ? "" : `scan ${result.scan}`, result.points === null ? "" : `${result.points} points`];
  if (first !== null && last !== null) words.push(`${first.toFixed(0)} to ${last.toFixed(0)} eV`);
  const silent = now - result.updated > SILENT ? `no news for ${Math.round((now - result.updated) / 60)} min` : "";
  const progress = [...words, silent].filter(Boolean).join(" · ");
  const why = result.refusal ? `. No answer yet: ${result.refusal.message}` : "";
  $("next").replaceChildren("◌ Now scanning ", h("b", {}, result.sample || edgeText(result) || "a sample"), progress ? ` · ${progress}` : "", why);
}

function showState(result) {
  const outside = isOutside(result);
  const [kind, text] = !result.final
    ? ["growing", isAnswered(result) ? "◌ Provisional: the scan is growing" : "◌ The scan is growing"]
    : result.refusal
      ? ["refused", "✕ Refused"]
      : outside
        ? ["outside", "◇ Out of domain: do not use"]
        : ["final", "✓ Final"];
  $("state").className = `state ${kind}`;
  setText($("state"), text);
}

function showHero(name, estimate, hint) {
  $("hero-name").replaceChildren(descriptorName(name), hint ? marked() : "");
  setText($("hero-number"), value(name, estimate.value));
  setText($("hero-unit"), unitText(estimate.unit));
  setText($("hero-interval"), `${levelText(estimate)}: ${interval(name, estimate)}`);
}

// The note below the values explains the mark.
const marked = () => h("span", { class: "unshown" }, "hint");

function other(name, estimate, hint) {
  const unit = unitText(estimate.unit);
  return h(
    "div",
    {},
    h("dt", {}, descriptorName(name), hint ? marked() : ""),
    h("dd", {}, h("b", {}, value(name, estimate.value)), unit ? ` ${unit}` : "", h("span", { class: "range" }, interval(name, estimate))),
  );
}
