// Results as plain objects, from a stop document's summary or from a growing run's rows.
// Documents are untrusted data: numbers are checked, text stays text.

// As rankaae_stream/results/compose.py publishes it; a test compares the two.
export const PURPOSE = "descriptors from XANES by rankaae-stream";

// What the server sends of each run, as text: one string costs it less to copy, hash and
// encode than what the string holds.
export const SELECT =
  "to_string([merge(start, {profile: `null`}), stop.time, " +
  "stop.summary.[estimates, flags, refusal, complete, points]])";

export function fromSelected(uid, selected) {
  const [start, stopped, summary] = asList(selected);
  return build(uid, start, stopped, summary);
}

export function fromMetadata(uid, metadata) {
  const { start, stop } = metadata ?? {};
  const named = stop?.summary;
  const summary = named && [named.estimates, named.flags, named.refusal, named.complete, named.points];
  return build(uid, start, stop?.time, summary);
}

// The result of a growing run with the values of row `index` of its stream's columns; about:
// the stream's descriptors and units.
export function withRow(result, columns, index, { descriptors, units }) {
  const at = (name) => columns[name]?.[index];
  const estimates = {};
  for (const name of descriptors) {
    const [value, low, high] = [at(name), at(`${name}_low`), at(`${name}_high`)];
    estimates[name] = { value, low, high, unit: units[name] };
  }
  let flags = [];
  try {
    flags = JSON.parse(at("flags") ?? "[]").map(asFlag);
  } catch {
    flags = [];
  }
  const refusal = at("refusal");
  return {
    ...result,
    updated: number(at("time")) ?? result.updated,
    estimates: asEstimates(estimates),
    flags,
    refusal: refusal ? { name: text(refusal), message: text(at("refusal_message")) } : null,
    points: number(at("points")),
    range: [number(at("energy_first")), number(at("energy_last"))],
  };
}

export const isAnswered = (result) => Object.keys(result.estimates).length > 0;

function build(uid, start, stopped, summary) {
  const about = isObject(start) ? start : {};
  const final = Array.isArray(summary);
  const [estimates, flags, refusal, complete, points] = final ? summary : [];
  const time = number(about.time) ?? 0;
  const named = Object.entries(isObject(flags) ? flags : {});
  return {
    uid,
    time,
    updated: number(stopped) ?? time,
    final,
    start: about,
    scan: number(about.scan_id),
    sample: text(about.sample_name ?? about.sample ?? ""),
    element: text(about.element ?? ""),
    edge: text(about.edge ?? ""),
    channel: text(about.channel ?? ""),
    primary: about.primary !== false,
    sweep: number(about.sweep) ?? 0,
    raw: text(about.original_run_uid ?? ""),
    model: {
      id: text(about.model?.id ?? ""),
      name: text(about.model?.name ?? ""),
      version: text(about.model?.version ?? ""),
    },
    estimates: asEstimates(estimates),
    hints: hinted(about.descriptors),
    flags: named.map(([name, flag]) => asFlag({ ...flag, name })),
    refusal: isObject(refusal)
      ? { name: text(refusal.name), message: text(refusal.message) }
      : null,
    complete: complete === true,
    points: number(points),
    conditions: numericKeys(about),
  };
}

export const isOutside = (result) => result.flags.some((flag) => flag.name === "out_of_domain");

export const isFlagged = (result) => result.flags.some((flag) => flag.severity === "warning");

// Numbers of the start document that a trend can be drawn over: temperature, flow, potential.
export function numericKeys(start, prefix = "", into = new Map()) {
  for (const [key, value] of Object.entries(start)) {
    if (!prefix && NOT_CONDITIONS.has(key)) continue;
    if (typeof value === "number" && Number.isFinite(value)) into.set(prefix + key, value);
    else if (!prefix && isObject(value)) numericKeys(value, `${key}.`, into);
  }
  return into;
}

const NOT_CONDITIONS = new Set(["time", "scan_id", "sweep", "model", "profile"]);

export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function text(value) {
  if (typeof value === "string") return value.slice(0, 300);
  if (value === null || value === undefined) return "";
  return (typeof value === "object" ? JSON.stringify(value) : String(value)).slice(0, 300);
}

function asEstimates(raw) {
  const estimates = {};
  for (const [name, each] of Object.entries(isObject(raw) ? raw : {})) {
    const [value, low, high] = [number(each?.value), number(each?.low), number(each?.high)];
    if (value === null || low === null || high === null) continue;
    estimates[name] = { value, low, high, unit: text(each.unit), level: number(each.level) };
  }
  return estimates;
}

export function asList(encoded) {
  let list;
  try {
    list = JSON.parse(encoded);
  } catch {
    list = null;
  }
  return Array.isArray(list) ? list : [];
}

// Descriptors that were not validated on measured compounds.
function hinted(descriptors) {
  const all = Array.isArray(descriptors) ? descriptors : [];
  return new Set(all.filter((each) => each?.evidence === "simulation").map((each) => text(each.name)));
}

export function asFlag(flag) {
  return {
    name: text(flag?.name),
    severity: flag?.severity === "warning" ? "warning" : "info",
    message: text(flag?.message),
  };
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
