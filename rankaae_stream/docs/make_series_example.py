"""Write the scans of docs/series-example.md: ``python make_series_example.py scans``.

With the name of a picture behind it, the series is drawn into that, too.

Spectra that ship with the package are mixed per manganese atom, as an electrode's charge would mix
them, so that the fractions in each scan are known. Beside the scans stands `charge.csv`.
"""

import csv
import sys
from functools import cache
from pathlib import Path

import numpy as np

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer_file
from rankaae_stream.loading import default_analysis
from rankaae_stream.series.resolve import Resolved, resolve
from rankaae_stream.show.series_plot import draw_series
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, Floats, NormalizationRanges

E0 = K_EDGES["Mn"]
ENERGY: Floats = E0 + np.r_[np.arange(-95.0, -20.0, 5.0), np.arange(-20.0, 180.0, 0.6)]
OXIDES = {"MnO": "Mn/mn_mno", "Mn2O3": "Mn/mn_mn2o3", "MnO2": "Mn/mn_mno2"}
FOIL = "foils/Mn"

REST, FIRST, SECOND, END = 8, 10, 18, 4
"""Scans before the charge, while MnO becomes Mn2O3, while that becomes MnO2, and at its end."""
VOLTS = 2.5, 3.3, 4.3
"""At rest, where all is Mn2O3, and at the end."""
NOISE = 0.003
"""Of mu, in parts of the edge step."""
AXIS = 0.05
"""Standard deviation of the axis from scan to scan, eV; the foil shows it."""
GLITCH, SPIKE = 15, 0.2
"""Scan of which one point has a glitch, and its height in parts of the edge step."""


def write_scans(folder: Path) -> None:
    """Write the scans as XDI files, and `charge.csv` with the voltage and what is known of each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with (folder / "charge.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "voltage", *OXIDES])
        for number, (volt, shares) in enumerate(course(), start=1):
            name = f"{number:02}.xdi"
            _write(folder / name, dict(zip(OXIDES, shares, strict=True)), number == GLITCH, rng)
            table.writerow([name, f"{volt:.3f}", *(f"{share:.4f}" for share in shares)])


def course() -> list[tuple[float, tuple[float, float, float]]]:
    """Return of each scan the voltage, and the fractions of MnO, Mn2O3 and MnO2."""
    first = [(i + 1) / FIRST for i in range(FIRST)]
    done = [0.0] * REST + first + [1.0 + (i + 1) / SECOND for i in range(SECOND)] + [2.0] * END
    return [
        (
            float(np.interp(x, [0.0, 1.0, 2.0], VOLTS)),
            (max(1.0 - x, 0.0), 1.0 - abs(1.0 - x), max(x - 1.0, 0.0)),
        )
        for x in done
    ]


def _write(path: Path, shares: dict[str, float], glitch: bool, rng: np.random.Generator) -> None:
    seen: Floats = ENERGY + AXIS * rng.normal()
    mu = NOISE * rng.normal(size=ENERGY.size)
    for name, share in shares.items():
        mu += share * np.interp(seen, *_one(OXIDES[name]))
    if glitch:
        mu[np.argmin(np.abs(ENERGY - E0 - 30.0))] += SPIKE
    foil = np.interp(seen, *_one(FOIL)) + NOISE * rng.normal(size=ENERGY.size)
    lines = ["# XDI/1.0", "# Element.symbol: Mn", "# Element.edge: K"]
    lines += [f"# Column.{i}: {name}" for i, name in enumerate(("energy eV", "i0", "it", "ir"), 1)]
    it = 1e5 * np.exp(-mu)
    columns = np.column_stack([ENERGY, np.full(ENERGY.size, 1e5), it, it * np.exp(-foil)])
    rows = [" ".join(f"{value:.2f}" for value in row) for row in columns]
    path.write_text("\n".join([*lines, "# ///", "#---", *rows, ""]), encoding="utf-8")


@cache
def _one(name: str) -> tuple[Floats, Floats]:
    """Return a shipped spectrum with an edge step of 1 on the scans' energies: one atom's."""
    read = read_spectrum(resources.folder("profiles/spectra") / f"{name}.xdi")
    norm = normalize(read.energy, read.mu, E0, NormalizationRanges()).norm
    seen = np.interp(ENERGY, read.energy, norm)
    return read.energy, norm / normalize(ENERGY, seen, E0, NormalizationRanges()).edge_step


def draw(folder: Path, picture: Path) -> None:
    """Draw the series as `rankaae-stream series --plot` does, smaller."""
    reports = [infer_file(path)[0].report for path in sorted(folder.glob("*.xdi"))]
    found = resolve(reports, default_analysis())
    assert isinstance(found, Resolved)
    draw_series(found).savefig(picture, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    scans, *pictures = map(Path, sys.argv[1:])
    write_scans(scans)
    for name in pictures:
        draw(scans, name)
