"""Compare the figures of all models with the targets set for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.show.plot import TITLES
from training.evaluation.detection import alarm_threshold
from training.evaluation.evaluate import KINDS, Evaluation
from training.evaluation.on_measured import APART, ordered_pairs, refused_share, standing
from training.evaluation.on_simulated import SimulatedScores
from training.evaluation.text import NOTHING, number, percent
from training.measured.pool import FALSE_ALARMS

__all__ = ["Target", "targets"]

STRICT = ("Fe", "Mn", "Cr", "Cu")
"""Elements whose valence must hold `LARGEST_ERROR`; of the others it is reported."""
LARGEST_ERROR = 0.25
WIDEST = 0.8
LEVEL = (0.85, 0.95)
REFUSED = 0.1
DETECTED = 0.95
LARGEST_DEVIATION = 0.15


@dataclass(frozen=True)
class Target:
    """One aim, what was found, and whether it is met; None where that is unknown."""

    aim: str
    found: str
    met: bool | None


def targets(found: Sequence[Evaluation]) -> list[Target]:
    """Return every aim for these models, pooled or by element, with what was found."""
    scores = [one.stated[1] for one in found]
    aims = [
        _median("oxidation state, ρ", 0.90, [_rho(one, "oxidation_state") for one in scores]),
        _median("coordination, weighted F1", 0.95, [one.f1_score for one in scores]),
        *(
            _median(f"{TITLES[name]}, ρ", 0.80, [_rho(one, name) for one in scores])
            for name in ("ligand_coordination", "bond_length_spread", "min_ligand_distance")
        ),
        _median(
            "reconstruction MAE",
            0.028,
            [one.reconstruction_mean_absolute_error_loss for one in scores],
            most=True,
            digits=3,
        ),
        _median(
            "largest |ρ| of a free dimension",
            0.30,
            [one.free_correlation_loss for one in scores],
            most=True,
        ),
    ]
    return [*aims, *_measured_targets(found)]


def _median(
    label: str, limit: float, values: Sequence[float], *, most: bool = False, digits: int = 2
) -> Target:
    known = [one for one in values if np.isfinite(one)]
    aim = f"simulated: {label} {'≤' if most else '≥'} {limit:g}"
    if not known:
        return Target(aim, NOTHING, None)
    middle = float(np.median(known))
    met = middle <= limit if most else middle >= limit
    return Target(
        aim, f"median {middle:.{digits}f} ({min(known):.{digits}f} to {max(known):.{digits}f})", met
    )


def _measured_targets(found: Sequence[Evaluation]) -> list[Target]:
    aims: list[Target] = []
    for one in found:
        element = one.card.edge.element
        state = standing(one.left_out, "oxidation_state")
        if element in STRICT:
            aims.append(
                Target(
                    f"measured: valence MAE of {element} ≤ {LARGEST_ERROR}",
                    f"{number(state.mean_absolute_error_loss)} ({state.compounds} compounds)",
                    state.mean_absolute_error_loss <= LARGEST_ERROR if state.compounds else None,
                )
            )
    orders = [ordered_pairs(one.compounds) for one in found]
    right, pairs = sum(one[0] for one in orders), sum(one[1] for one in orders)
    left = [compound for one in found for compound in one.left_out]
    pooled = standing(left, "oxidation_state")
    refused = refused_share([compound for one in found for compound in one.compounds])
    aims += [
        Target(
            f"measured: valences {APART} or more apart in the right order",
            f"{right} of {pairs} pairs",
            right == pairs if pairs else None,
        ),
        Target(
            f"measured: valence intervals hold {LEVEL[0]:.0%} to {LEVEL[1]:.0%}, pooled",
            f"{pooled.hits} of {pooled.compounds} compounds",
            LEVEL[0] <= pooled.hits / pooled.compounds <= LEVEL[1] if pooled.compounds else None,
        ),
        Target(
            f"measured: median full width of the valence's interval ≤ {WIDEST}",
            number(pooled.width),
            pooled.width <= WIDEST if pooled.compounds else None,
        ),
        Target(
            f"measured: at most {REFUSED:.0%} of good standards refused or flagged",
            percent(refused),
            refused <= REFUSED if np.isfinite(refused) else None,
        ),
        *(_detected(found, kind) for kind in ("foil", "other")),
        *(_mixed(one) for one in found if one.mixtures is not None),
    ]
    return aims


def _detected(found: Sequence[Evaluation], kind: str) -> Target:
    """Judge detection pooled over elements, distances in units of each card's threshold."""
    inside = [d / one.card.domain.threshold for one in found for d in one.inside]
    outside = np.array(
        [d / one.card.domain.threshold for one in found for d in one.detections[kind].distances]
    )
    metals = np.array([bool(told) for one in found for told in one.detections[kind].metals])
    aim = f"measured: {DETECTED:.0%} of {KINDS[kind]} flagged at {FALSE_ALARMS:.0%} false alarms"
    if not inside or not outside.size:
        return Target(aim, NOTHING, None)
    caught = float(np.mean(metals | (outside > alarm_threshold(inside))))
    shipped = float(np.mean(metals | (outside > 1.0)))
    alarms = float(np.mean(np.array(inside) > 1.0))
    return Target(
        aim,
        f"{caught:.0%} of {outside.size} (as shipped {shipped:.0%} at {alarms:.0%} false alarms)",
        caught >= DETECTED,
    )


def _mixed(one: Evaluation) -> Target:
    mixed = one.mixtures
    assert mixed is not None
    return Target(
        f"measured: {mixed.low} with {mixed.high} monotone, within {LARGEST_DEVIATION} of linear",
        f"{mixed.monotone:.0%} monotone, largest deviation {mixed.worst:.2f} "
        f"(median {mixed.deviation:.2f}) of {mixed.pairs} pairs",
        mixed.monotone == 1.0 and mixed.worst <= LARGEST_DEVIATION,
    )


def _rho(scores: SimulatedScores, name: str) -> float:
    return scores.descriptors[name].spearman_score if name in scores.descriptors else float("nan")
