"""Pool the measured compounds of all elements, where one element has few.

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

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.card import DomainRule, Region
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.measured.intervals import Widening
from training.measured.judge_standards import Compound

__all__ = ["Shown", "domain_rule", "others", "shown", "widening"]

FALSE_ALARMS = 0.05
"""Share of good measured oxides that the domain's threshold may flag."""

OTHER_LABORATORIES = 1.7
"""How much larger the valence's error is on spectra that had no part in any choice: those of
other laboratories, kept apart while a prototype was made, had 1 to 2 times the standards'."""

LEAST = 0.2
"""A network's own error is never nothing."""

FEWEST_FOR_QUANTILE = 9
"""Compounds below which a 90 % quantile is the largest value, and more than that unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What one measured compound showed; see `training.measured.judge_standards.Compound`.

    `errors` and `halves` by descriptor, those that are known; `misfits` by region.
    """

    element: str
    compound: str
    errors: dict[str, float]
    halves: dict[str, float]
    misfits: tuple[float, ...]
    length: float


def shown(config: Config, compounds: Sequence[Compound]) -> list[Shown]:
    """Return what the compounds of this element showed."""
    found: list[Shown] = []
    for one in compounds:
        known = [k for k, error in enumerate(one.error) if np.isfinite(error)]
        names = [config.network.descriptors[k] for k in known]
        errors = dict(zip(names, map(float, one.error[known]), strict=True))
        halves = dict(zip(names, map(float, one.half[known]), strict=True))
        misfits = tuple(map(float, one.misfits))
        found.append(Shown(config.element, one.name, errors, halves, misfits, one.length))
    return found


def others(config: Config, models: Path) -> list[Shown]:
    """Read what compounds of other elements showed, from the models that the index names.

    Those whose domain was judged in other regions, and those without errors, which an
    earlier version of this page wrote, say nothing here.
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
            Shown(misfits=tuple(row.pop("misfits")), **row)
            for row in rows
            if row["element"] != config.element
            and "errors" in row
            and len(row["misfits"]) == len(config.calibration.regions)
        ]
    return found


def widening(name: str, pool: Sequence[Shown], level: float) -> Widening:
    """Fit, conformally, how much wider than simulated the intervals of measured compounds are.

    Between theory and measurement lies an error of its own. It may be much the same for
    spectra that are easy in simulation and for hard ones; then their median error is
    allowed for before the factor is taken, and no compound that simulation finds easy
    makes the intervals of all others too wide. Or it grows with the simulated one, and
    the factor holds all of it. Of the two the one with the narrower intervals is taken.

    Simulated test spectra carry FEFF's own scatter, measured ones do not, so that the factor
    may be below one, but not below `LEAST`, for the axis alone may explain what few compounds
    err by; with fewer than `FEWEST_FOR_QUANTILE` compounds it is one at least. The standards chose
    shift and compression, which flatters the valence: its factor is raised by
    `OTHER_LABORATORIES`.
    """
    known = [one for one in pool if name in one.errors]
    if not known:
        return Widening(1.0, 0.0)
    errors = np.array([one.errors[name] for one in known])
    halves = np.array([one.halves[name] for one in known])
    both = [_conformal(errors, halves, to, level) for to in (0.0, float(np.median(errors)))]
    found = min(both, key=lambda one: one.half(float(halves.mean())))
    factor = found.factor * (OTHER_LABORATORIES if name == "oxidation_state" else 1.0)
    return Widening(
        max(factor, LEAST if len(known) >= FEWEST_FOR_QUANTILE else 1.0), found.allowance
    )


def _conformal(errors: Floats, halves: Floats, allowance: float, level: float) -> Widening:
    scores = np.sort(errors / (halves + allowance))
    rank = int(np.ceil(level * (scores.size + 1)))
    return Widening(float(scores[min(rank, scores.size) - 1]), allowance)


def domain_rule(config: Config, pool: Sequence[Shown], start: float) -> DomainRule:
    """Fit scales and threshold of the domain to good measured oxides.

    Every scale is the median over compounds, so that one that theory draws badly does not
    make room for metals; the threshold lies where `FALSE_ALARMS` of them would be flagged.

    Raises
    ------
    ConfigurationError
        When nobody has measured one: neither this element nor any model of another.
    """
    if not pool:
        raise ConfigurationError(
            f"no measured oxide of {config.element}, and no model of another element, says where "
            "the domain ends; add a standard to training/data/standards, or build such a model, "
            "say iron's, first"
        )
    misfits = np.array([one.misfits for one in pool])
    lengths = np.array([one.length for one in pool])
    scales, length = np.median(misfits, axis=0), float(np.median(lengths))
    regions = tuple(
        Region(low, high, float(scale))
        for (low, high), scale in zip(config.calibration.regions, scales, strict=True)
    )
    terms = np.concatenate([misfits / scales, lengths[:, None] / length], axis=1)
    distance = np.sqrt(np.mean(terms**2, axis=1))
    return DomainRule(start, regions, length, float(np.quantile(distance, 1.0 - FALSE_ALARMS)))
