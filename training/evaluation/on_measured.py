"""Judge a model on measured compounds.

Every file is answered by `Analysis.process`, as a live scan is, its foil given as that of
an earlier run. The valence of a compound whose spectra helped to fit the model is judged
by the error that `training.build` found with that compound left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.errors import Refused
from rankaae_stream.model.networks import Model
from rankaae_stream.report import Report
from rankaae_stream.spectra.library import library_foil
from training.descriptors import DESCRIPTORS
from training.measured.standards import Standard
from training.trials.select import rank_correlation

__all__ = [
    "Compound",
    "Judged",
    "Reading",
    "Standing",
    "analysis_of",
    "answers_by_file",
    "by_compound",
    "ordered_pairs",
    "read_standards",
    "refused_share",
    "standing",
]

APART = 0.5
"""Valences this far apart have to come in the right order, e."""


def read_standards(model: Model, standards: Sequence[Standard]) -> list["Reading"]:
    """Answer every file of the model's element as a live scan."""
    analysis = analysis_of(model)
    return [
        Reading(
            one,
            analysis.process(one.spectrum, earlier=one.earlier),
            _is_metal(analysis, one),
        )
        for one in standards
    ]


def answers_by_file(model: Model, measured: Sequence[Standard]) -> dict[str, Any]:
    """Return the live answer to every measured file, whatever its role."""
    return {
        one.standard.file: {
            "role": one.standard.role,
            "foil": one.standard.foil,
            "foil_shift": one.standard.calibration,
            "true_oxidation_state": one.standard.oxidation_state,
            "true_coordination_number": one.standard.coordination_number,
            "distance": None if one.report.refusal else one.distance,
            "refusal": one.report.refusal.message if one.report.refusal else "",
            **{each.name: each.value for each in one.report.estimates},
            **{f"{each.name}_low": each.low for each in one.report.estimates},
            **{f"{each.name}_high": each.high for each in one.report.estimates},
        }
        for one in read_standards(model, measured)
    }


def analysis_of(model: Model) -> Analysis:
    """Return the live analysis with this model alone and the library's foil of its element."""
    edge = model.card.edge
    return Analysis({str(edge): model}, {str(edge): library_foil(edge.element)})


def by_compound(
    readings: Sequence["Reading"], role: str, left_out: Mapping[str, Mapping[str, Any]]
) -> tuple["Compound", ...]:
    """Average the files of one role by compound, in the order of the valence.

    Parameters
    ----------
    readings : sequence of Reading
    role : str
        ``standard`` or ``suspect``.
    left_out : mapping
        By compound, `left_out_error` of the valence where it could be found:
        ``evaluation.json["standards"]``.
    """
    same: dict[str, list[Reading]] = {}
    for one in readings:
        if one.standard.role == role:
            same.setdefault(one.standard.compound, []).append(one)
    found = [
        _average(same[name], left_out.get(name, {}).get("left_out_error")) for name in sorted(same)
    ]

    def valence(one: Compound) -> tuple[float, str]:
        state = one.descriptors.get("oxidation_state")
        return (state.truth if state else np.inf, one.name)

    return tuple(sorted(found, key=valence))


def standing(compounds: Sequence["Compound"], name: str) -> "Standing":
    """Return the figures of one descriptor over the compounds that define it."""
    judged = [one.descriptors[name] for one in compounds if name in one.descriptors]
    truth = np.array([one.truth for one in judged])
    estimate = np.array([one.estimate for one in judged])
    spread = truth.size > 2 and np.ptp(truth) > 0
    return Standing(
        compounds=len(judged),
        mean_absolute_error_loss=float(np.mean(np.abs(estimate - truth))) if judged else np.nan,
        spearman_score=rank_correlation(estimate, truth) if spread else np.nan,
        hits=sum(one.hit for one in judged),
        width=float(np.median([one.high - one.low for one in judged])) if judged else np.nan,
    )


def refused_share(compounds: Sequence["Compound"]) -> float:
    """Return the share of refused or flagged spectra, every compound weighing the same."""
    shares = [(one.refused + one.flagged) / one.files for one in compounds]
    return float(np.mean(shares)) if shares else float("nan")


def ordered_pairs(compounds: Sequence["Compound"]) -> tuple[int, int]:
    """Count pairs whose valences lie `APART` or more: those in the right order, and all."""
    states = [
        one.descriptors["oxidation_state"]
        for one in compounds
        if "oxidation_state" in one.descriptors
    ]
    pairs = [(a, b) for a, b in combinations(states, 2) if abs(a.truth - b.truth) >= APART - 1e-9]
    right = sum((a.estimate - b.estimate) * (a.truth - b.truth) > 0 for a, b in pairs)
    return right, len(pairs)


@dataclass(frozen=True, eq=False)
class Reading:
    """A model's report on one measured file.

    Attributes
    ----------
    standard : Standard
    report : Report
        As of a live scan.
    metal : bool or None
        Whether the library's foil recognises it as the metal; None for that foil itself,
        which proves nothing.
    """

    standard: Standard
    report: Report
    metal: bool | None

    @property
    def distance(self) -> float:
        """Distance from the training domain; NaN where the file was refused."""
        return self.report.domain.distance if self.report.domain else float("nan")

    @property
    def flagged(self) -> bool:
        """Whether it lies beyond the card's threshold or is the metal."""
        return any(flag.name == "out_of_domain" for flag in self.report.flags)


@dataclass(frozen=True)
class Judged:
    """One descriptor of one compound: truth by its crystal structure, mean estimate, interval.

    Of the valence, estimate and interval are those with the compound left out, as far
    as that is known.
    """

    truth: float
    estimate: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Estimate minus truth."""
        return self.estimate - self.truth

    @property
    def hit(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


@dataclass(frozen=True)
class Compound:
    """One compound, averaged over its files.

    Attributes
    ----------
    name : str
    files, refused, flagged : int
    distance : float
        NaN where all files were refused.
    fitted_error : float
        Valence error with the compound's part in the fit.
    left_out : bool
        Whether the valence in `descriptors` is the left-out one.
    descriptors : mapping
        By name, those that the crystal structure defines.
    """

    name: str
    files: int
    refused: int
    flagged: int
    distance: float
    fitted_error: float
    left_out: bool
    descriptors: Mapping[str, Judged]


@dataclass(frozen=True)
class Standing:
    """Figures of one descriptor over compounds; NaN where they hold none or one value."""

    compounds: int
    mean_absolute_error_loss: float
    spearman_score: float
    hits: int
    width: float


def _is_metal(analysis: Analysis, standard: Standard) -> bool | None:
    if standard.file == library_foil(standard.spectrum.edge.element).file:
        return None
    try:
        analysis.foil_shift(standard.spectrum)
    except Refused:
        return False
    return True


def _average(same: Sequence[Reading], left_out_error: float | None) -> Compound:
    answered = [one for one in same if one.report.estimates]
    outside = float("nan") if left_out_error is None else float(left_out_error)
    known = bool(np.isfinite(outside))
    fitted_error = float("nan")
    described: dict[str, Judged] = {}
    for k, estimate in enumerate(answered[0].report.estimates if answered else ()):
        truth = _truth(same[0].standard, estimate.name)
        each = [one.report.estimates[k] for one in answered]
        value, low, high = (
            float(np.mean([getattr(one, end) for one in each])) for end in ("value", "low", "high")
        )
        moved = 0.0
        if estimate.name == "oxidation_state":
            fitted_error = value - truth
            # The interval keeps its width and moves with the estimate.
            moved = outside - fitted_error if known else 0.0
        if np.isfinite(truth):
            described[estimate.name] = Judged(truth, value + moved, low + moved, high + moved)
    return Compound(
        name=same[0].standard.compound,
        files=len(same),
        refused=len(same) - len(answered),
        flagged=sum(one.flagged for one in answered),
        distance=float(np.mean([one.distance for one in answered])) if answered else float("nan"),
        fitted_error=fitted_error,
        left_out=known,
        descriptors=described,
    )


def _truth(standard: Standard, name: str) -> float:
    if name == "oxidation_state":
        return standard.oxidation_state
    return float(standard.labels[list(DESCRIPTORS).index(name)])
