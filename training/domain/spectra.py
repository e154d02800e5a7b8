"""Gather oxides and what is none, simulated and measured, of all elements on one axis."""

# pyright: basic
# pyarrow has no types

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError, Refused
from rankaae_stream.spectrum import K_EDGES, Floats
from training.config import Config, Grid
from training.folders import DATA
from training.measured import standards
from training.measured.standards import Standard
from training.simulated import dataset

__all__ = ["AXIS", "KINDS", "OXIDES", "Spectra", "kind_of", "measured", "others", "oxides"]

AXIS = np.arange(-24.0, 72.0 + dataset.STEP / 2, dataset.STEP)
"""Energies of all spectra, eV from the tabulated edge: what simulated oxides are stored on."""

OXIDES = "oxides"

KINDS: dict[str, tuple[str, ...]] = {
    "metals and alloys": ("metal", "alloy"),
    "sulfides": ("sulfide",),
    "selenides and tellurides": ("selenide", "telluride"),
    "phosphides, arsenides and antimonides": ("phosphide", "arsenide", "antimonide"),
    "halides": ("halide",),
    "nitrides": ("nitride",),
    "carbides, borides, silicides and hydrides": ("carbide", "boride", "silicide", "hydride"),
    "organometallic and chloride molecules": ("molecular",),
}
"""Kinds that are no oxides, as sentences name them, and the column `kind` of the files."""

FILES = "nonoxides-*.parquet"
"""Simulated sites without oxygen in their first shell, below training/data."""

MOST = 1000
"""Simulated oxides of one element that take part: copper has four times as many as others."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Flat spectra of many compounds.

    Attributes
    ----------
    flat : (n, f) array
        On `AXIS`.
    kind, element, compound : (n,) arrays of str
        A kind of `KINDS`, or `OXIDES`.
    """

    flat: Floats
    kind: NDArray[np.str_]
    element: NDArray[np.str_]
    compound: NDArray[np.str_]

    def of(self, rows: NDArray[np.bool_]) -> "Spectra":
        """Return the spectra of some rows."""
        return Spectra(self.flat[rows], self.kind[rows], self.element[rows], self.compound[rows])

    @property
    def key(self) -> NDArray[np.str_]:
        """Element and compound of each spectrum, (n,): what a fold keeps together."""
        return np.char.add(np.char.add(self.element, " "), self.compound)


def oxides(configs: Iterable[Config], data: Path = DATA) -> Spectra:
    """Read the simulated oxides of all configurations, at most `MOST` of an element."""
    rng = np.random.default_rng(0)
    rows: list[tuple[Floats, str, str, str]] = []
    for config in configs:
        found = dataset.read(config.element, config.data, Grid(), data)
        for i in rng.permutation(len(found.mu))[:MOST]:
            rows.append((found.mu[i], OXIDES, config.element, str(found.group[i])))
    return _together(rows)


def others(configs: Iterable[Config], data: Path = DATA) -> Spectra:
    """Read the simulated sites that are no oxides.

    Raises
    ------
    ConfigurationError
        When there is no such file, or a kind that is not known.
    """
    widths = {one.element: one.data.core_hole_width for one in configs}
    rows: list[tuple[Floats, str, str, str]] = []
    for path in sorted(data.glob(FILES)):
        columns = ["element", "kind", "material", "energy", "mu"]
        plain: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
        for one in plain:
            element = one["element"]
            if element in widths:
                energy = np.asarray(one["energy"], dtype=float) - K_EDGES[element]
                mu = np.asarray(one["mu"], dtype=float)
                flat = dataset.on_axis(AXIS, energy, mu, widths[element])
                rows.append((flat, kind_of(one["kind"]), element, one["material"]))
    if not rows:
        raise ConfigurationError(f"no file in {data} matches {FILES}: nothing that is no oxide")
    return _together(rows)


def measured(elements: Iterable[str], more: Sequence[Standard] = ()) -> Spectra:
    """Read the measured standards, foils and compounds that are no oxides.

    Parameters
    ----------
    elements : iterable of str
    more : sequence of Standard
        Spectra that are not in the repository.
    """
    rows: list[tuple[Floats, str, str, str]] = []
    for one in [*(file for each in elements for file in standards.load(each)), *more]:
        if one.role == "suspect":
            continue
        try:
            energy, flat = one.normalized()
        except Refused:
            continue
        element = one.spectrum.edge.element
        rows.append((np.interp(AXIS, energy, flat), _kind(one), element, one.compound))
    return _together(rows)


def kind_of(name: str) -> str:
    """Return the kind of `KINDS` that a column of a file names, ``metal-rich sulfide`` too.

    Raises
    ------
    ConfigurationError
        When it names none.
    """
    for kind, names in KINDS.items():
        if name.removeprefix("metal-rich ") in names:
            return kind
    known = ", ".join(sorted(name for names in KINDS.values() for name in names))
    raise ConfigurationError(f"kind {name!r} of a simulated site is not known; known: {known}")


def _kind(one: Standard) -> str:
    """Return the kind of a measured file: `other` in labels.csv says only that it is no oxide."""
    if one.role == "standard":
        return OXIDES
    if one.role == "foil":
        return kind_of("metal")
    symbols = ("S", "Se", "P", "N", "C")
    names = ("sulfide", "selenide", "phosphide", "nitride", "carbide")
    for symbol, name in zip(symbols, names, strict=True):
        if symbol in one.elements:
            return kind_of(name)
    raise ConfigurationError(f"{one.file}: {one.compound} is of no known kind")


def _together(rows: Sequence[tuple[Floats, str, str, str]]) -> Spectra:
    flat, kind, element, compound = zip(*rows, strict=True)
    return Spectra(np.stack(flat), np.array(kind), np.array(element), np.array(compound))
