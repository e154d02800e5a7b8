// Files to save: the table as CSV, a spectrum as XDI.

import { rowOf } from "./series.js";
import { edgeText } from "./words.js";

// series: the state of the shown one, whose mixtures stand beside its results; or null.
export function toCsv(results, descriptors, series = null) {
  const shares = series?.ends.map((_, k) => `share_${k + 1}`) ?? [];
  const names = [...descriptors.keys()];
  const head = ["time_utc", "scan", "sample", "element", "edge", "channel", "primary", "sweep"];
  for (const name of names) {
    const unit = descriptors.get(name);
    const suffix = unit && unit !== "1" ? ` (${unit})` : "";
    head.push(name + suffix, `${name}_low`, `${name}_high`);
  }
  head.push("final", "flags", "refusal", "refusal_message", "model", "raw_run", "result_run");
  if (shares.length) head.push(...shares, "valence", "half_width");
  const rows = results.map((result) => [
    new Date(result.time * 1000).toISOString(),
    result.scan,
    result.sample,
    result.element,
    result.edge,
    result.channel,
    result.primary,
    result.sweep,
    ...names.flatMap((name) => {
      const estimate = result.estimates[name];
      return estimate ? [estimate.value, estimate.low, estimate.high] : [null, null, null];
    }),
    result.final,
    result.flags.map((flag) => flag.name).join(" "),
    result.refusal?.name ?? "",
    result.refusal?.message ?? "",
    [result.model.name, result.model.version].filter(Boolean).join(" "),
    result.raw,
    result.uid,
    ...(shares.length ? mixture(rowOf(series, result.uid), shares) : []),
  ]);
  return [head, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

const mixture = (row, shares) =>
  row ? [...row.shares.map((share) => share.value), row.valence, row.half] : [...shares, "", ""].map(() => null);

// A spreadsheet would run text that begins like a formula; an apostrophe marks it as text.
function field(content) {
  if (content === null || content === undefined) return "";
  if (typeof content !== "string") return String(content);
  const plain = /^[=+\-@\t\r]/.test(content) ? `'${content}` : content;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

// `norm` is the flattened spectrum, whose edge step is 1: what the model saw, on its grid.
// Of a part, which cannot be normalised, only `mu`, in units of its highest value.
export function toXdi(result, curves) {
  const lines = ["# XDI/1.0 rankaae-stream"];
  const [names, columns, about] = curves.part
    ? [["mu"], [curves.flat], "Not normalised: the part that was seen, without its background, highest value 1,"]
    : [
        ["norm", "reconstruction", "residual"],
        [curves.flat, curves.reconstruction, curves.residual],
        "Flattened and normalised to an edge step of 1,",
      ];
  const header = (key, content) => {
    const line = String(content ?? "").replace(/[^\S ]|[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ").trim();
    if (line) lines.push(`# ${key}: ${line}`);
  };
  header("Column.1", "energy eV");
  names.forEach((name, i) => header(`Column.${i + 2}`, name));
  header("Element.symbol", result.element);
  header("Element.edge", result.edge);
  header("Sample.name", result.sample);
  header("Scan.start_time", new Date(result.time * 1000).toISOString().slice(0, 19));
  header("Scan.edge_energy_range", `${curves.energy[0]} to ${curves.energy.at(-1)} eV`);
  header("Rankaae.raw_run", result.raw);
  header("Rankaae.result_run", result.uid);
  header("Rankaae.channel", result.channel);
  header("Rankaae.final", result.final);
  header("Rankaae.model", `${result.model.name} ${result.model.version}`);
  header("Rankaae.model_id", result.model.id);
  for (const [name, { value, low, high, unit }] of Object.entries(result.estimates)) {
    header(`Rankaae.${name}`, `${value} (${low} to ${high}) ${unit === "1" ? "" : unit}`);
  }
  header("Rankaae.flags", result.flags.map((flag) => flag.name).join(" "));
  lines.push(
    "# ///",
    `# ${about} on the axis and the grid of the model.`,
    "# -----",
    `# energy ${names.join(" ")}`,
  );
  const number = (value) => (value === null ? "nan" : value.toFixed(6));
  curves.energy.forEach((energy, i) => {
    lines.push(`${energy.toFixed(4)} ${columns.map((column) => number(column[i])).join(" ")}`);
  });
  return lines.join("\n") + "\n";
}

export function fileName(result, ending) {
  const words = [result.sample || edgeText(result), result.scan, result.uid.slice(0, 8)];
  const name = words.filter((word) => word !== null && word !== "").join("_");
  return `${name.replace(/[^\p{L}\p{N}_.-]+/gu, "-").replace(/^[.-]+/, "")}.${ending}`;
}
