// What the interval in large type is made of: a stacked bar, its legend in words, and an advice.

import { $, h, setText } from "./dom.js";
import { CAUSES, sentence, share as asText } from "./words.js";

// shares: [[cause, share]], the largest first; none hides the bar.
export function showBudget(shares, advice) {
  $("budget").hidden = shares.length === 0;
  if (shares.length === 0) return;
  const words = shares.map(([cause, share]) => `${CAUSES[cause]} ${asText(share)}`);
  $("budget-bar").replaceChildren(
    ...shares.map(([cause, share]) => {
      const part = h("span", { class: `cause ${cause}`, title: `${CAUSES[cause]} ${asText(share)}` });
      part.style.flexGrow = share;
      return part;
    }),
  );
  $("budget-bar").setAttribute("aria-label", `The interval is made of: ${words.join(", ")}`);
  $("budget-causes").replaceChildren(
    ...shares.map(([cause], i) => h("li", {}, h("span", { class: `cause ${cause}`, "aria-hidden": "true" }), words[i])),
  );
  setText($("advice"), sentence(advice));
}
