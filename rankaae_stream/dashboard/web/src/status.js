// The state of the connection and the age of the result, always in sight.

import { $, setText } from "./dom.js";
import { age, clock, dateTime } from "./words.js";

const KINDS = {
  connecting: ["◌", "Connecting"],
  live: ["●", "Live"],
  polling: ["◐", "Polling every 2 s"],
  lost: ["✕", "Disconnected"],
  refused: ["✕", "Key refused"],
  absent: ["✕", "Not found"],
};
export const SILENT = 60; // s without news after which a growing scan is marked as silent

export function showConnection(state, node) {
  document.body.dataset.state = state.kind;
  const [mark, word] = KINDS[state.kind];
  setText($("mark"), mark);
  setText($("connection"), state.kind === "lost" ? `Disconnected since ${clock(state.since)}` : word);
  const banner = bannerText(state, node);
  $("banner").hidden = !banner;
  setText($("banner"), banner);
}

// Show how old the result is: seconds since its last document, by the server's clock.
export function showAge(tiled, result, kind) {
  if (!result) return setText($("age"), "");
  const old = tiled.now() - result.updated;
  const growing = !result.final && kind !== "lost";
  const verb = result.final ? "measured" : "updated";
  const silent = growing && old > SILENT ? "no news: " : "";
  setText($("age"), `${silent}${verb} ${age(old)}`);
  $("age").title = dateTime(result.updated);
  document.body.classList.toggle("silent", Boolean(silent));
}

export function announce(text) {
  setText($("announce"), text);
}

function bannerText({ kind, since, detail, proxied }, node) {
  if (kind === "lost") {
    const who = proxied ? detail : "The server does not answer";
    return `${who}. These results are from before ${dateTime(since)}; trying again every 2 s.`;
  }
  if (kind === "absent") {
    return `This server has no container “${node}” that you may read. For another container, add ?node=NAME to the address.`;
  }
  if (kind === "refused" && proxied) return detail;
  return "";
}
