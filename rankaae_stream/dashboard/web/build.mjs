// Builds the page into ../static, or into the folder given: the same bytes each time.
import { cpSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "static");

mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.js" },
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  minify: true,
  legalComments: "inline",
  banner: { js: "/* rankaae-stream dashboard, BSD-3-Clause; with uPlot, MIT, (c) Leon Sorokin */" },
});
for (const name of ["index.html", "icon.svg"]) cpSync(join(here, name), join(out, name));
