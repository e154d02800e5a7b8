// Small helpers; text is only ever set as text.

export const $ = (id) => document.getElementById(id);

// h("td", {class: "number"}, "1.0"): an element with attributes and children.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The options of a <select>, [[value, text]], rebuilt only when they differ.
export function setOptions(select, options, chosen) {
  const signature = JSON.stringify(options);
  if (select.dataset.options !== signature) {
    select.dataset.options = signature;
    select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  }
  if (select.value !== chosen) select.value = chosen;
}

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A function that draws at the next frame, or after so many ms; calls in between draw once,
// at the earliest of their times.
export function scheduler(draw) {
  let waiting = null; // {after, timer}
  return (after = 0) => {
    if (waiting && (after > 0 || waiting.after === 0)) return;
    if (waiting) clearTimeout(waiting.timer);
    const drawSoon = () =>
      requestAnimationFrame(() => {
        waiting = null;
        draw();
      });
    waiting = { after, timer: after > 0 ? setTimeout(drawSoon, after) : drawSoon() };
  };
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function download(name, type, content) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
