"""Judge whether spectra that are no good oxides are flagged as out of domain."""

# pyright: basic
# scipy has no types

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from training.measured.pool import FALSE_ALARMS

__all__ = ["Detection", "alarm_threshold", "score_detection"]


def score_detection(
    kind: str,
    distances: Sequence[float],
    inside: Sequence[float],
    card_threshold: float,
    metals: Sequence[bool | None] = (),
) -> "Detection":
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
    answered = [(distance, metal) for distance, metal in both if np.isfinite(distance)]
    each = np.array([distance for distance, _ in answered])
    metal = np.array([bool(metal) for _, metal in answered])
    good = np.array([one for one in inside if np.isfinite(one)])
    auroc = float("nan")
    if each.size and good.size:
        auroc = float(mannwhitneyu(each, good).statistic) / (each.size * good.size)
    limit = alarm_threshold(list(good))
    return Detection(
        kind=kind,
        files=int(each.size),
        at_card=float(np.mean(metal | (each > card_threshold))) if each.size else float("nan"),
        at_false_alarms=(
            float(np.mean(metal | (each > limit))) if each.size and good.size else float("nan")
        ),
        auroc_score=auroc,
        distances=tuple(map(float, each)),
        metals=tuple(metal for _, metal in answered),
    )


def alarm_threshold(distances: Sequence[float]) -> float:
    """Return the distance that `FALSE_ALARMS` of good oxides exceed, interpolated between them.

    Of fewer than twenty it lies close to their largest: a figure at 5 % then depends
    on one or two spectra.
    """
    return float(np.quantile(distances, 1.0 - FALSE_ALARMS)) if len(distances) else float("nan")


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
        Which of them were recognised as the metal; None for the library's own file.
    """

    kind: str
    files: int
    at_card: float
    at_false_alarms: float
    auroc_score: float
    distances: tuple[float, ...]
    metals: tuple[bool | None, ...]
