"""Mix measured spectra: is the valence of a sum the sum of valences, and is metal noticed?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.model.domain import edge_aligned, judge_domain
from rankaae_stream.model.estimates import describe_many
from rankaae_stream.model.networks import Model
from rankaae_stream.spectrum import Floats
from training.evaluation.on_measured import Reading

__all__ = [
    "END_MEMBERS",
    "FOIL_SHARES",
    "FoilMixtures",
    "Mixtures",
    "deviation_from_line",
    "mix_end_members",
    "mix_foil",
]

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


def mix_end_members(model: Model, readings: Sequence[Reading]) -> "Mixtures | None":
    """Mix the element's `END_MEMBERS`; None where it has none.

    The sums are taken of what the encoder sees: flat spectra on the model's grid, each
    after its own shifts.
    """
    card = model.card
    if card.edge.element not in END_MEMBERS:
        return None
    low, high = END_MEMBERS[card.edge.element]
    firsts, seconds = (_flat(readings, "standard", name) for name in (low, high))
    if not firsts or not seconds:
        return None
    k = [one.name for one in card.outputs].index("oxidation_state")
    curves: list[Floats] = []
    for first in firsts:
        for second in seconds:
            flat = (1.0 - SHARES[:, None]) * first + SHARES[:, None] * second
            latents = np.asarray(model.encode(flat), dtype=float)
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


def mix_foil(model: Model, readings: Sequence[Reading]) -> "FoilMixtures":
    """Mix every foil into every oxide of the standards, and count the flags."""
    pairs = [
        (oxide, foil) for oxide in _flat(readings, "standard") for foil in _flat(readings, "foil")
    ]
    card, flagged = model.card, list[float]()
    for share in FOIL_SHARES if pairs else ():
        flat = np.stack([(1.0 - share) * oxide + share * foil for oxide, foil in pairs])
        logits = model.judge(edge_aligned(card.grid.relative(), flat, card.domain.aligned))
        judged = judge_domain(logits.astype(np.float64), card.domain)
        flagged.append(float(np.mean([one.distance > one.threshold for one in judged])))
    return FoilMixtures(len(pairs), FOIL_SHARES, tuple(flagged))


def deviation_from_line(shares: Floats, values: Floats) -> float:
    """Return the largest distance of values from the line between the first and the last.

    Examples
    --------
    >>> deviation_from_line(np.array([0.0, 0.5, 1.0]), np.array([2.0, 2.75, 3.0]))
    0.25
    """
    line = values[0] + shares * (values[-1] - values[0])
    return float(np.abs(values - line).max())


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


def _flat(readings: Sequence[Reading], role: str, compound: str | None = None) -> list[Floats]:
    """Return the spectra that the encoder saw, (grid.points,) each, of files that were answered."""
    return [
        one.report.curves.flat
        for one in readings
        if one.standard.role == role
        and compound in (None, one.standard.compound)
        and one.report.curves is not None
    ]
