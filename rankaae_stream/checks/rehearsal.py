"""Play runs in a layout's own format, by the field names of any profile.

The spectrum is a measured one: Fe2O3 with the foil of its session.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.checks.base import NotChecked
from rankaae_stream.documents.rules import Rule, RunRules
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.layouts.base import Layout, Rehearsing, Scan
from rankaae_stream.layouts.rehearsal import example, put
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.samples import series

__all__ = [
    "SAMPLE",
    "at_home",
    "example_scan",
    "rehearse",
    "start_of",
    "without_numbers",
]


SAMPLE = next(sample for sample in series("Fe") if sample.name == "Fe2O3")
"""The sample that is played."""
OFFSETS = np.unique(
    np.concatenate([np.arange(-160, -20, 10.0), np.arange(-20, 60, 1.0), np.arange(60, 201, 5.0)])
)
"""Energies of a rehearsed scan, eV from the edge."""


def example_scan(
    name: str,
    start: Mapping[str, Any] | None = None,
    *,
    falling: bool = False,
    sweeps: int = 1,
    upto: float = 200.0,
) -> Scan:
    """Return a scan of Fe2O3 from -160 eV to `upto` eV from its edge."""
    relative = OFFSETS[: np.searchsorted(OFFSETS, upto, side="right")]
    energy = SAMPLE.edge.e0 + relative
    energy = energy[::-1] if falling else energy
    seen = Beam(SAMPLE).signals(energy)
    signals = {
        "i0": seen["i0"],
        "it": seen["it"],
        "ir": seen["ir"],
        "fluorescence": seen["iff"],
        "pips": 0.5 * seen["iff"],
    }
    return Scan(name, {"element": SAMPLE.element, **(start or {})}, energy, signals, sweeps)


def without_numbers(scan: Scan, role: str) -> Scan:
    """Return the same scan with a signal that is not a number above the edge."""
    signal = np.where(scan.energy > SAMPLE.edge.e0, np.nan, scan.signals[role])
    signals = {**scan.signals, role: signal}
    return dataclasses.replace(scan, name=f"{scan.name}-dark", signals=signals)


def start_of(choice: RunRules, rule: Rule | None = None) -> dict[str, Any]:
    """Return a start document of Fe that is XAS by one of the profile's rules."""
    start: dict[str, Any] = {}
    if choice.element:
        put(start, choice.element[0], SAMPLE.element)
    if choice.edge:
        put(start, choice.edge[0], SAMPLE.edge.shell)
    for key, patterns in (rule or {}).items():
        if example(patterns[0]):
            put(start, key, example(patterns[0]))
    return start


def at_home(layout: Layout, folder: Path) -> Layout:
    """Return the same layout, restricted to files below `folder` if it reads any."""
    if not dataclasses.is_dataclass(layout) or isinstance(layout, type):
        return layout
    names = {field.name for field in dataclasses.fields(layout)}
    moved: dict[str, Any] = {"allowed_roots": (folder,), "root_map": {}}
    moved = {name: value for name, value in moved.items() if name in names}
    return dataclasses.replace(layout, **moved) if moved else layout


def rehearse(layout: Layout, scan: Scan, folder: Path) -> Documents:
    """Return documents of a run of the layout's kind; its files go below `folder`.

    Raises
    ------
    NotChecked
        For a layout without `rehearse`.
    """
    if isinstance(layout, Rehearsing):
        return list(layout.rehearse(scan, folder))
    raise NotChecked(
        f"{type(layout).__name__} cannot write runs of its own kind",
        "give it a method rehearse(scan, folder) as in rankaae_stream.layouts.base.Rehearsing, or "
        "check it on a recorded run with --run",
    )
