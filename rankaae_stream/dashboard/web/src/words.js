// Numbers, names and ages in words.

const NAMES = {
  oxidation_state: "Oxidation state",
  coordination_number: "Coordination number",
  ligand_coordination: "Cations around oxygen",
  bond_length_spread: "Spread of bond lengths",
  mean_bond_length: "Mean bond length",
  min_ligand_distance: "Shortest O–O distance",
};

// As rankaae_stream/show/intervals.py has them; a test compares the two.
export const CAUSES = {
  noise: "noise",
  normalization: "normalisation",
  axis: "energy axis",
  ensemble: "networks",
  theory: "simulation",
  extent: "unseen part",
};

const DIGITS = {
  coordination_number: 1,
  ligand_coordination: 1,
  bond_length_spread: 3,
  mean_bond_length: 3,
};

export function descriptorName(name) {
  return NAMES[name] ?? plain(name);
}

export function withUnit(name, unit) {
  const shown = unitText(unit);
  return shown ? `${descriptorName(name)} (${shown})` : descriptorName(name);
}

// A pure number has the unit 1, which is not shown.
export function unitText(unit) {
  return unit === "1" ? "" : (unit ?? "");
}

export function value(name, number) {
  if (number === null || number === undefined) return "–";
  const shown = Math.abs(number).toFixed(DIGITS[name] ?? 2);
  const sign = number < 0 ? "−" : name === "oxidation_state" ? "+" : "";
  return sign + shown;
}

export function interval(name, estimate) {
  return `${value(name, estimate.low)} to ${value(name, estimate.high)}`;
}

export function levelText(estimate) {
  return estimate.level === null ? "Interval" : `${Math.round(estimate.level * 100)} % interval`;
}

export function share(part) {
  return `${Math.round(100 * part)} %`;
}

export function sentence(words) {
  return words && `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

// out_of_domain -> out of domain
export function plain(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function age(seconds) {
  return Math.round(seconds) < 2 ? "now" : `${span(seconds)} ago`;
}

// For how long: 45 s, 6 min, 3 h, 4 days.
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(undefined, { hour12: false });
}

export function dateTime(seconds) {
  const date = new Date(seconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function edgeText(result) {
  return [result.element, result.edge].filter(Boolean).join(" ");
}
