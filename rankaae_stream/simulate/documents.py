"""Compute the signals of a scan, and give its documents new times.

Played runs have a real beamline's names, nesting and units, and a measured spectrum
in place of a sample. Uids follow from the run's name: the same run, the same documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from rankaae_stream.simulate.plans import step_energies
from rankaae_stream.simulate.samples import Sample, curves
from rankaae_stream.spectrum import Floats

__all__ = ["Beam", "over_the_edge", "stamped"]


@dataclass(frozen=True, slots=True)
class Beam:
    """The sample, and the conditions under which it is measured.

    Attributes
    ----------
    sample : Sample
    dilution : float
        Factor on the edge step in transmission; 1 is a well-made sample. The
        fluorescence keeps its shape.
    noise : float
        Relative standard deviation of every signal.
    foil : bool
        Whether there is a foil before the last ion chamber.
    nan : (float, float) or None
        Energies, eV, between which the chamber behind the sample reads nothing.
    seed : int
    """

    sample: Sample
    dilution: float = 1.0
    noise: float = 0.0
    foil: bool = True
    nan: tuple[float, float] | None = None
    seed: int = 0

    def signals(self, energy: Floats, i0: float = 100.0) -> dict[str, Floats]:
        """Return i0, it, ir and iff at energies (n,) in time order, in units of `i0`."""
        mu, foil = (np.array(x) for x in zip(*map(curves(self.sample).at, energy), strict=True))
        rng = np.random.default_rng(self.seed)
        decay = i0 * (1.0 - 0.02 * np.arange(energy.size) / max(energy.size, 1))
        thin = 0.4 + self.dilution * (mu - 0.4)
        columns = {
            "i0": decay,
            "it": decay * np.exp(-thin),
            "ir": decay * np.exp(-thin - (foil if self.foil else 0.0)),
            "iff": decay * 0.01 * mu,
        }
        for key, column in columns.items():
            columns[key] = column * (1.0 + self.noise * rng.standard_normal(energy.size))
        if self.nan is not None:
            columns["it"][(energy >= self.nan[0]) & (energy <= self.nan[1])] = np.nan
        return columns


def over_the_edge(sample: Sample, *, falling: bool = False) -> Floats:
    """Return the energies of a usual step scan over a sample's edge, eV."""
    energies = sample.edge.e0 + step_energies()
    return energies[::-1] if falling else energies


def stamped(doc: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the document as if emitted at `now`; its other times shift by as much.

    Examples
    --------
    >>> stamped({"uid": ["a", "b"], "time": [1.0, 2.0], "timestamps": {"x": [1.0, 2.0]}}, 9.0)
    {'uid': ['a', 'b'], 'time': [8.0, 9.0], 'timestamps': {'x': [8.0, 9.0]}}
    """
    if "time" not in doc:
        return dict(doc)
    times = doc["time"]
    later = now - (cast("list[float]", times)[-1] if isinstance(times, list) else times)

    def shifted(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: shifted(item) for key, item in cast("Mapping[str, Any]", value).items()}
        return (
            [item + later for item in cast("list[float]", value)]
            if isinstance(value, list)
            else value + later
        )

    return {**doc, **{key: shifted(doc[key]) for key in ("time", "timestamps") if key in doc}}
