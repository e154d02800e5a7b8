"""How well a model does on measured compounds, and what it makes of anything else.

Every file goes the way of a live scan: its axis by the foil and the theory shift, its
interval from copies moved by one standard deviation of axis and edge step. What a
compound's own spectra helped to fit is judged by the error that `build` found with
that compound left out.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from rankaae_stream.errors import Refused
from rankaae_stream.model.domain import domain_distance
from rankaae_stream.model.estimates import describe, describe_many
from rankaae_stream.report import Estimate
from rankaae_stream.spectra.axis import LIBRARY_UNCERTAINTY, calibrate
from rankaae_stream.spectra.library import library_foil
from rankaae_stream.spectra.quality import coverage
from rankaae_stream.spectra.regrid import perturbed
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, K_EDGES
from training.descriptors import DESCRIPTORS
from training.evaluation.on_simulated import Judge
from training.measured.standards import Standard
from training.trials.select import rank_correlation

__all__ = [
    "END_MEMBERS",
    "FALSE_ALARMS",
    "FOIL_SHARES",
    "Compound",
    "Detection",
    "FoilMixtures",
    "Mixtures",
    "Reading",
    "Standing",
    "alarm_threshold",
    "by_compound",
    "deviation_from_line",
    "mix_end_members",
    "mix_foil",
    "moved_to",
    "ordered_pairs",
    "read_standards",
    "refused_share",
    "score_detection",
    "standing",
]

Floats = NDArray[np.float64]

FALSE_ALARMS = 0.05
"""Share of good measured oxides that may be flagged where thresholds are compared."""

APART = 0.5
"""Valences this far apart have to come in the right order, e."""

END_MEMBERS = {
    "Fe": ("FeO", "Fe2O3 hematite"),
    "Mn": ("MnO", "MnO2"),
    "Cr": ("Cr2O3", "K2CrO4"),
}
"""Compounds whose measured spectra are mixed, lower valence first."""

SHARES = np.linspace(0.0, 1.0, 11)
"""Of the second end member."""

FOIL_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Of metal in an oxide."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model says of one measured file.

    Attributes
    ----------
    standard : Standard
    estimates : tuple of Estimate
        In the order of the card's outputs; empty where it was refused.
    distance : float
        From the training domain; NaN where it was refused.
    metal : bool or None
        Recognised as the metal itself by the library's foil; None where it is that foil.
    flagged : bool
        Beyond the card's threshold, or the metal.
    refusal : str
        Why a live scan of this reach would get no answer; empty where it would.
    """

    standard: Standard
    estimates: tuple[Estimate, ...]
    distance: float
    metal: bool | None
    flagged: bool
    refusal: str


@dataclass(frozen=True)
class Judged:
    """One descriptor of one compound: crystal structure, mean estimate and interval.

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


@dataclass(frozen=True)
class Detection:
    """How often spectra of one kind are flagged.

    Attributes
    ----------
    kind : str
    files : int
    at_card, at_false_alarms : float
        Share recognised as the metal or beyond the card's threshold, and the same with
        the threshold that `FALSE_ALARMS` of the measured oxides exceed.
    auroc_score : float
        Probability that one of them lies further away than a measured oxide.
    distances : tuple of float
    metals : tuple of bool or None
        Which of them were recognised as the metal; None of the library's own file.
    """

    kind: str
    files: int
    at_card: float
    at_false_alarms: float
    auroc_score: float
    distances: tuple[float, ...]
    metals: tuple[bool | None, ...]


@dataclass(frozen=True)
class Mixtures:
    """Sums of two measured end members in steps of a tenth, every file with every other.

    Attributes
    ----------
    low, high : str
        Compounds.
    pairs : int
    shares, valences : tuple of float
        Share of `high`, and the estimate's mean over the pairs.
    monotone : float
        Share of the pairs whose estimates never fall.
    deviation, worst : float
        Largest distance from the line between the model's own end members: median
        over the pairs, and the worst of them.
    """

    low: str
    high: str
    pairs: int
    shares: tuple[float, ...]
    valences: tuple[float, ...]
    monotone: float
    deviation: float
    worst: float


@dataclass(frozen=True)
class FoilMixtures:
    """Share of oxide-and-metal sums that are flagged, by share of metal."""

    pairs: int
    shares: tuple[float, ...]
    flagged: tuple[float, ...]


def read_standards(judge: Judge, standards: Sequence[Standard]) -> list[Reading]:
    """Answer every file as a live scan would be answered.

    Parameters
    ----------
    judge : Judge
    standards : sequence of Standard
        On the axis of the judge's edge.
    """
    return [_read(judge, one) for one in standards]


def _read(judge: Judge, standard: Standard) -> Reading:
    card = judge.card
    e0, theory = card.edge.e0, card.theory_shift
    try:
        cover = coverage(
            standard.energy, e0, card.normalization, card.grid, theory.value, complete=True
        )
    except Refused as refused:
        return Reading(standard, (), float("nan"), False, False, refused.message)
    axis = LIBRARY_UNCERTAINTY if standard.foil else AXIS_UNCERTAINTY
    sigma = float(np.hypot(axis, theory.uncertainty))
    on_theory = standard.energy + theory.value
    copies = perturbed(on_theory, standard.flat, card.grid, e0, sigma, cover.step_error)
    latents = np.asarray(judge.encode(copies), dtype=float)
    distance = float(_distances(judge, copies[:1], latents[:, :1])[0])
    metal = _is_metal(standard, card.edge.element)
    flagged = bool(metal) or distance > card.domain.threshold
    return Reading(standard, describe(latents, card), distance, metal, flagged, "")


def _is_metal(standard: Standard, element: str) -> bool | None:
    """As the live check has it; None of the library's own file, which proves nothing."""
    library = library_foil(element)
    if standard.file == library.file:
        return None
    try:
        calibrate(standard.energy, standard.flat, library)
    except Refused:
        return False
    return True


def by_compound(
    readings: Sequence[Reading], role: str, left_out: Mapping[str, Mapping[str, Any]]
) -> tuple[Compound, ...]:
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
    names = {one.standard.compound for one in readings if one.standard.role == role}
    found = [
        _average(
            [
                one
                for one in readings
                if one.standard.compound == name and one.standard.role == role
            ],
            left_out.get(name, {}).get("left_out_error"),
        )
        for name in sorted(names)
    ]

    def valence(one: Compound) -> tuple[float, str]:
        state = one.descriptors.get("oxidation_state")
        return (state.truth if state else np.inf, one.name)

    return tuple(sorted(found, key=valence))


def _average(same: Sequence[Reading], left_out_error: float | None) -> Compound:
    answered = [one for one in same if one.estimates]
    outside = float("nan") if left_out_error is None else float(left_out_error)
    known = bool(np.isfinite(outside))
    fitted_error = float("nan")
    described: dict[str, Judged] = {}
    for k, estimate in enumerate(answered[0].estimates if answered else ()):
        truth = _truth(same[0].standard, estimate.name)
        each = np.array(
            [(r.estimates[k].value, r.estimates[k].low, r.estimates[k].high) for r in answered]
        )
        value, low, high = map(float, each.mean(axis=0))
        moved = 0.0
        if estimate.name == "oxidation_state":
            fitted_error = value - truth
            # The interval keeps its width and moves to where it would have stood.
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


def standing(compounds: Sequence[Compound], name: str) -> Standing:
    """Figures of one descriptor over the compounds that define it."""
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


def refused_share(compounds: Sequence[Compound]) -> float:
    """Share of refused or flagged spectra, every compound weighing the same."""
    shares = [(one.refused + one.flagged) / one.files for one in compounds]
    return float(np.mean(shares)) if shares else float("nan")


def ordered_pairs(compounds: Sequence[Compound]) -> tuple[int, int]:
    """Pairs whose valences lie `APART` or more: how many come in the right order, and how many."""
    states = [
        one.descriptors["oxidation_state"]
        for one in compounds
        if "oxidation_state" in one.descriptors
    ]
    pairs = [(a, b) for a, b in combinations(states, 2) if abs(a.truth - b.truth) >= APART - 1e-9]
    right = sum((a.estimate - b.estimate) * (a.truth - b.truth) > 0 for a, b in pairs)
    return right, len(pairs)


def alarm_threshold(distances: Sequence[float], share: float = FALSE_ALARMS) -> float:
    """Distance that a share of good oxides exceed, between them by interpolation.

    Of fewer than twenty it lies close to their largest: what is said of 5 % then hangs
    on one or two spectra.
    """
    return float(np.quantile(distances, 1.0 - share)) if len(distances) else float("nan")


def score_detection(
    kind: str,
    distances: Sequence[float],
    inside: Sequence[float],
    card_threshold: float,
    metals: Sequence[bool | None] = (),
) -> Detection:
    """Judge spectra of one kind against measured oxides.

    Parameters
    ----------
    kind : str
    distances : sequence of float
        Of the files that should be flagged; those that were refused are left out.
    inside : sequence of float
        Of good oxides, by compound.
    card_threshold : float
    metals : sequence of bool or None, optional
        Which of `distances` are of spectra recognised as the metal.
    """
    both = zip(distances, metals or [False] * len(distances), strict=True)
    answered = [(one, told) for one, told in both if np.isfinite(one)]
    each = np.array([one for one, _ in answered])
    told = np.array([bool(told) for _, told in answered])
    good = np.array([one for one in inside if np.isfinite(one)])
    auroc = float("nan")
    if each.size and good.size:
        auroc = float(mannwhitneyu(each, good).statistic) / (each.size * good.size)
    limit = alarm_threshold(list(good))
    return Detection(
        kind=kind,
        files=int(each.size),
        at_card=float(np.mean(told | (each > card_threshold))) if each.size else float("nan"),
        at_false_alarms=(
            float(np.mean(told | (each > limit))) if each.size and good.size else float("nan")
        ),
        auroc_score=auroc,
        distances=tuple(map(float, each)),
        metals=tuple(told for _, told in answered),
    )


def moved_to(judge: Judge, others: Mapping[str, Sequence[Standard]]) -> list[float]:
    """Distances of other elements' oxides, their edges laid on this one.

    Parameters
    ----------
    judge : Judge
    others : mapping
        Standards by element; those of the judge's own are left out.
    """
    card = judge.card
    flat: list[Floats] = []
    for element, found in others.items():
        for one in found if element != card.edge.element else ():
            # A scan that does not reach as far as this model needs is no example.
            with suppress(Refused):
                if one.role == "standard":
                    shift = card.theory_shift.value
                    flat.append(one.on_grid(card.grid, K_EDGES[element], shift))
    return list(map(float, _distances(judge, np.stack(flat)))) if flat else []


def mix_end_members(judge: Judge, standards: Sequence[Standard]) -> Mixtures | None:
    """Mix the element's `END_MEMBERS`; None where it has none.

    The sums are taken of what the encoder sees: flat spectra on the model's grid, each
    after its own shifts.
    """
    card = judge.card
    if card.edge.element not in END_MEMBERS:
        return None
    low, high = END_MEMBERS[card.edge.element]
    ends = [
        _flat(judge, [one for one in standards if one.compound == name and one.role == "standard"])
        for name in (low, high)
    ]
    if not all(len(one) for one in ends):
        return None
    k = [one.name for one in card.outputs].index("oxidation_state")
    curves: list[Floats] = []
    for first in ends[0]:
        for second in ends[1]:
            flat = (1.0 - SHARES[:, None]) * first + SHARES[:, None] * second
            latents = np.asarray(judge.encode(flat), dtype=float)
            curves.append(describe_many(latents, card)[0][:, k])
    deviations = [deviation_from_line(SHARES, one) for one in curves]
    return Mixtures(
        low=low,
        high=high,
        pairs=len(curves),
        shares=tuple(map(float, SHARES)),
        valences=tuple(map(float, np.mean(curves, axis=0))),
        monotone=float(np.mean([bool(np.all(np.diff(one) >= 0)) for one in curves])),
        deviation=float(np.median(deviations)),
        worst=float(np.max(deviations)),
    )


def deviation_from_line(shares: Floats, values: Floats) -> float:
    """Largest distance of values from the line between the first and the last.

    Examples
    --------
    >>> deviation_from_line(np.array([0.0, 0.5, 1.0]), np.array([2.0, 2.75, 3.0]))
    0.25
    """
    line = values[0] + shares * (values[-1] - values[0])
    return float(np.abs(values - line).max())


def mix_foil(judge: Judge, standards: Sequence[Standard]) -> FoilMixtures:
    """Mix every foil into every oxide of the standards, and count the flags."""
    oxides = _flat(judge, [one for one in standards if one.role == "standard"])
    foils = _flat(judge, [one for one in standards if one.role == "foil"])
    pairs = [(oxide, foil) for oxide in oxides for foil in foils]
    flagged: list[float] = []
    for share in FOIL_SHARES if pairs else ():
        flat = np.stack([(1.0 - share) * oxide + share * foil for oxide, foil in pairs])
        flagged.append(float(np.mean(_distances(judge, flat) > judge.card.domain.threshold)))
    return FoilMixtures(len(pairs), FOIL_SHARES, tuple(flagged))


def _flat(judge: Judge, standards: Sequence[Standard]) -> list[Floats]:
    card = judge.card
    return [one.on_grid(card.grid, card.edge.e0, card.theory_shift.value) for one in standards]


def _distances(judge: Judge, flat: Floats, latents: Floats | None = None) -> Floats:
    card = judge.card
    found = np.asarray(judge.encode(flat) if latents is None else latents, dtype=float)
    output = np.asarray(judge.decode(found), dtype=float).mean(axis=0)
    return domain_distance(flat, output, found, card.grid.relative(), card.domain)[1]
