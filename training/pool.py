"""What the measured compounds of all elements say together, where one element has few.

Every model's evaluation.json holds what its own compounds showed. A model that is built
takes those of the others beside its own, so eight elements are built twice: the second
time, with every trial kept, takes seconds.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.card import DomainRule, Region
from training.config import Config
from training.theory import Compound

__all__ = ["Shown", "domain_rule", "error_factor", "others", "shown"]

Floats = NDArray[np.float64]

FALSE_ALARMS = 0.05
"""Share of good measured oxides that the domain's threshold may flag."""

OTHER_LABORATORIES = 1.7
"""How much larger the valence's error is on spectra that had no part in any choice: those of
other laboratories, kept apart while a prototype was made, had 1 to 2 times the standards'."""

FEWEST = 9
"""Compounds below which a 90 % quantile is the largest value, and more than that unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What one measured compound showed; see `training.theory.Compound`.

    `factors` by descriptor, those that are known; `misfits` by region.
    """

    element: str
    compound: str
    factors: dict[str, float]
    misfits: tuple[float, ...]
    length: float


def shown(config: Config, compounds: Sequence[Compound]) -> list[Shown]:
    """The compounds of the element at hand."""
    return [
        Shown(
            config.element,
            one.name,
            {
                name: float(factor)
                for name, factor in zip(config.network.descriptors, one.factor, strict=True)
                if np.isfinite(factor)
            },
            tuple(map(float, one.misfits)),
            one.length,
        )
        for one in compounds
    ]


def others(config: Config, models: Path) -> list[Shown]:
    """Compounds of the other elements, from the evaluation of the models that the index names.

    Those whose domain was judged in other regions say nothing here.
    """
    index = models / "index.json"
    if not index.is_file():
        return []
    found: list[Shown] = []
    for key in sorted(json.loads(index.read_text(encoding="utf-8"))):
        path = models / key / "evaluation.json"
        rows: list[dict[str, Any]] = (
            json.loads(path.read_text(encoding="utf-8")).get("shown", []) if path.is_file() else []
        )
        found += [
            Shown(**{**row, "misfits": tuple(row["misfits"])})
            for row in rows
            if row["element"] != config.element
            and len(row["misfits"]) == len(config.calibration.regions)
        ]
    return found


def error_factor(name: str, pool: Sequence[Shown], level: float) -> float:
    """Factor on the simulated half-width that measured compounds call for, conformal.

    Simulated test spectra carry FEFF's own scatter, measured ones do not, so that it
    may be below one; with fewer than `FEWEST` compounds it may not. The standards chose
    shift and compression, which flatters the valence: its factor is raised by
    `OTHER_LABORATORIES`.
    """
    factors = np.sort([one.factors[name] for one in pool if name in one.factors])
    if not factors.size:
        return 1.0
    rank = int(np.ceil(level * (factors.size + 1)))
    found = float(factors[min(rank, factors.size) - 1])
    if name == "oxidation_state":
        found *= OTHER_LABORATORIES
    return found if factors.size >= FEWEST else max(found, 1.0)


def domain_rule(config: Config, pool: Sequence[Shown], start: float) -> DomainRule:
    """Scales and threshold of the domain by good measured oxides.

    Every scale is the root mean square over compounds; the threshold lies where
    `FALSE_ALARMS` of them would be flagged.
    """
    misfits = np.array([one.misfits for one in pool])
    lengths = np.array([one.length for one in pool])
    scales, length = np.sqrt(np.mean(misfits**2, axis=0)), float(np.sqrt(np.mean(lengths**2)))
    regions = tuple(
        Region(low, high, float(scale))
        for (low, high), scale in zip(config.calibration.regions, scales, strict=True)
    )
    terms = np.concatenate([misfits / scales, lengths[:, None] / length], axis=1)
    distance = np.sqrt(np.mean(terms**2, axis=1))
    return DomainRule(start, regions, length, float(np.quantile(distance, 1.0 - FALSE_ALARMS)))
