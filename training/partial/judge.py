"""Judge partial networks on compounds they have not seen, cut at several energies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rankaae_stream.errors import Refused
from rankaae_stream.model.card import ModelCard, Output
from rankaae_stream.model.intervals import interval
from rankaae_stream.model.parts import complete_causes
from rankaae_stream.spectra.partial import on_seen_grid, prepared
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Floats
from training.config import Config
from training.descriptors import DESCRIPTORS
from training.evaluation.disturbed import cut, noisy
from training.folders import DATA
from training.measured.pool import FEWEST_FOR_QUANTILE
from training.measured.standards import Standard
from training.partial.parts import GRID
from training.partial.student import Student
from training.partial.train import Trained
from training.simulated import dataset
from training.simulated.augment import broaden

__all__ = [
    "CASES",
    "REACHES",
    "Case",
    "Row",
    "factors",
    "held",
    "judge",
    "judge_simulated",
    "summary",
    "thresholds",
]

REACHES = (10.0, 15.0, 20.0, 25.0, 35.0, 50.0, 60.0)
"""Where scans are cut, eV from the tabulated edge; beyond the last nothing changes."""

NOISE = (0.003, 0.02)
"""Standard deviation of point noise, edge steps."""

BEGINS = (-50.0, -3.0)
"""Where scans are made to begin, eV: with a pre-edge, and without."""

RESOLUTION = 0.8
"""Gaussian sigma that simulated spectra are judged at, eV."""

LEAST_FACTOR = 0.5
"""A factor is no smaller: the network's own scale says something."""

FALSE_ALARMS = 0.1
"""Share of parts of oxides that may be flagged: twice that of complete spectra, because a part
shows less, and metals and sulfides are to be noticed early."""


@dataclass(frozen=True, slots=True)
class Case:
    """How a scan was cut, and the noise that was added to it."""

    begins: float
    noise: float
    reach: float


CASES = tuple(
    Case(begins, noise, reach) for begins in BEGINS for noise in NOISE for reach in REACHES
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one compound in one case, averaged over its files.

    `error` and `scale` by output where its label is known, empty where no file was answered;
    `complete` is the half-width of the complete answer there, `no_oxide` the probability that
    the compound is none.
    """

    element: str
    compound: str
    case: Case
    error: Mapping[str, float]
    scale: Mapping[str, float]
    complete: Mapping[str, float]
    no_oxide: float = float("nan")


def judge(card: ModelCard, trained: Trained, used: Iterable[Standard]) -> list[Row]:
    """Answer every cut of every file by a network that has not seen its compound."""
    same: dict[str, list[Standard]] = {}
    for one in used:
        if one.role == "standard" and np.isfinite(one.oxidation_state):
            same.setdefault(one.compound, []).append(one)
    rows: list[Row] = []
    for compound, files in sorted(same.items()):
        student = trained.without(compound)
        for case in CASES:
            each = [found for one in files if (found := _answer(card, student, one, case))]
            mean = {
                key: {
                    name: float(np.mean([one[key][name] for one in each])) for name in each[0][key]
                }
                for key in (each[0] if each else {})
            }
            rows.append(
                Row(
                    card.edge.element,
                    compound,
                    case,
                    mean.get("error", {}),
                    mean.get("scale", {}),
                    mean.get("complete", {}),
                    mean.get("domain", {}).get("no_oxide", float("nan")),
                )
            )
    return rows


def judge_simulated(
    config: Config, card: ModelCard, student: Student, data: Path = DATA
) -> list[Row]:
    """Answer the same cuts of simulated compounds that neither model nor network has seen."""
    simulated, split = dataset.material(config.element, config.data, config.grid, data)
    relative = GRID.relative()
    sites = broaden(simulated.mu[split.test], np.full(split.test.size, RESOLUTION), dataset.STEP)
    on_grid: list[Floats] = [np.interp(relative, simulated.energy, row) for row in sites]
    flat = np.stack(on_grid)
    groups, state = simulated.group[split.test], simulated.labels[split.test, 0]
    (k,) = (i for i, output in enumerate(card.outputs) if output.name == "oxidation_state")
    output = card.outputs[k]
    axis = float(np.hypot(AXIS_UNCERTAINTY, card.theory_shift.uncertainty))
    rows: list[Row] = []
    for case in CASES:
        noise = case.noise * np.random.default_rng(0).normal(size=flat.shape)
        seen = (relative >= case.begins) & (relative <= case.reach + 0.25)
        inputs = prepared(flat + noise, np.broadcast_to(seen, flat.shape), relative)
        with torch.no_grad():
            found = student(torch.from_numpy(inputs.astype(np.float32))).double().numpy()
        values = np.clip(found[:, 0, k], *output.range)
        own = np.exp(found[:, 0, len(card.outputs) + k])
        for group in np.unique(groups):
            for level in np.unique(state[groups == group]):
                same = (groups == group) & (state == level)
                value = float(values[same].mean())
                half = _complete_half(output, value, float(own[same].mean()), axis)
                rows.append(
                    Row(
                        card.edge.element,
                        f"{group} {level:g}",
                        case,
                        {output.name: float(np.abs(values[same] - level).mean())},
                        {output.name: float(found[same, 1, k].mean())},
                        {output.name: half},
                    )
                )
    return rows


def _answer(
    card: ModelCard, student: Student, one: Standard, case: Case
) -> dict[str, dict[str, float]] | None:
    """Return error, scale and the complete half-width by output; None where it is refused."""
    moved = one.spectrum.energy + one.calibration + card.theory_shift.value
    scan, sigma = noisy(replace(one.spectrum, energy=moved), case.noise)
    scan = cut(scan, case.begins, case.reach + 0.25)
    if scan.energy.size < 2:
        return None
    try:
        part = on_seen_grid(scan.energy, scan.mu, GRID, scan.edge.e0, sigma)
    except Refused:
        return None
    inputs = prepared(part.values[None], part.seen[None], GRID.relative()).astype(np.float32)
    with torch.no_grad():
        found = student(torch.from_numpy(inputs)).double().numpy()[0]
    axis = float(
        np.hypot(
            one.shift.uncertainty if one.shift else AXIS_UNCERTAINTY, card.theory_shift.uncertainty
        )
    )
    truth, own = _truth(one), np.exp(found[0, len(card.outputs) : -1])
    odds = float(found[0, -1])
    result: dict[str, dict[str, float]] = {
        "error": {},
        "scale": {},
        "complete": {},
        "domain": {"no_oxide": 1.0 / (1.0 + float(np.exp(-odds)))},
    }
    for k, output in enumerate(card.outputs):
        if not np.isfinite(truth[output.name]):
            continue
        value = float(np.clip(found[0, k], *output.range))
        result["error"][output.name] = value - truth[output.name]
        result["scale"][output.name] = float(found[1, k])
        half = _complete_half(output, value, float(own[k]), axis)
        result["complete"][output.name] = half
    return result


def _complete_half(output: Output, value: float, own: float, axis: float) -> float:
    """Return the half-width of a complete spectrum, by the model's own and the axis' sigma, eV."""
    causes = complete_causes((output,), np.array([[own]]), axis)
    half, _ = interval((output,), np.array([[value]]), causes)
    return float(half[0, 0])


def _truth(one: Standard) -> dict[str, float]:
    known = dict(zip(DESCRIPTORS, map(float, one.labels), strict=True))
    known["oxidation_state"] = one.oxidation_state
    if not np.isfinite(known["coordination_number"]):
        known["coordination_number"] = one.coordination_number
    return known


def factors(rows: Sequence[Row], names: Sequence[str], level: float) -> dict[str, list[float]]:
    """Return, by output, the factor at each of `REACHES` that holds measured compounds.

    Conformal over the compounds of all elements: the quantile of what the error needs beyond
    the half-width of the complete answer, in the network's scale.
    """
    found: dict[str, list[float]] = {}
    for name in ["oxidation_state", *names]:
        each: list[float] = []
        for reach in REACHES:
            scores = _scores(rows, name, reach)
            compounds = {(row.element, row.compound) for row in rows if name in row.error}
            if len(compounds) < FEWEST_FOR_QUANTILE:
                each.append(found["oxidation_state"][len(each)])
                continue
            rank = min(level * (len(compounds) + 1) / len(compounds), 1.0)
            each.append(max(float(np.quantile(scores, rank)), LEAST_FACTOR))
        found[name] = each
    return {name: [round(one, 3) for one in found[name]] for name in names}


def thresholds(rows: Sequence[Row]) -> list[float]:
    """Return, for each of `REACHES`, the probability of no oxide that `FALSE_ALARMS` exceed."""
    each = [[row.no_oxide for row in _near(rows, reach)] for reach in REACHES]
    return [round(float(np.nanquantile(one, 1.0 - FALSE_ALARMS)), 3) for one in each]


def _near(rows: Sequence[Row], reach: float) -> list[Row]:
    """Return rows at a reach and at its neighbours: few compounds make a rough quantile."""
    at = REACHES.index(reach)
    return [row for row in rows if row.case.reach in REACHES[max(at - 1, 0) : at + 2]]


def _scores(rows: Sequence[Row], name: str, reach: float) -> Floats:
    used = [row for row in _near(rows, reach) if name in row.error]
    return np.array(
        [
            np.sqrt(max(row.error[name] ** 2 - row.complete[name] ** 2, 0.0)) / row.scale[name]
            for row in used
        ]
    )


def held(row: Row, name: str, factor: Mapping[str, Sequence[float]]) -> tuple[bool, float]:
    """Return whether a row's interval holds, and its half-width."""
    at = float(np.interp(row.case.reach, REACHES, factor[name]))
    half = float(np.hypot(at * row.scale[name], row.complete[name]))
    return abs(row.error[name]) <= half, half


def summary(
    rows: Sequence[Row], factor: Mapping[str, Sequence[float]], name: str = "oxidation_state"
) -> list[dict[str, Any]]:
    """Return, for each case, compounds, share answered, mean error, coverage, median full width."""
    lines: list[dict[str, Any]] = []
    for case in CASES:
        same = [row for row in rows if row.case == case]
        answered = [row for row in same if name in row.error]
        intervals = [held(row, name, factor) for row in answered]
        lines.append(
            {
                "begins": case.begins,
                "noise": case.noise,
                "reach": case.reach,
                "compounds": len(same),
                "answered": len(answered) / max(len(same), 1),
                "error": float(np.mean([abs(row.error[name]) for row in answered])),
                "held": float(np.mean([one[0] for one in intervals])),
                "width": 2.0 * float(np.median([one[1] for one in intervals])),
            }
        )
    return lines
