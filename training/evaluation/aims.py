"""Compare the figures of all models with the targets set for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.model.intervals import calibrated_half
from rankaae_stream.show.plot import TITLES
from training.evaluation.detection import alarm_threshold
from training.evaluation.evaluate import KINDS, Evaluation
from training.evaluation.on_measured import APART, ordered_pairs, refused_share
from training.evaluation.on_simulated import SimulatedScores, classes
from training.evaluation.splits import over_splits
from training.evaluation.text import NOTHING, number, percent, scatter
from training.measured.pool import FALSE_ALARMS

__all__ = ["Measured", "Target", "measured_standing", "targets"]

LARGEST_ERRORS = {
    "Fe": 0.10,
    "Mn": 0.15,
    "Cu": 0.15,
    "Ni": 0.15,
    "Cr": 0.20,
    "V": 0.25,
    "Co": 0.25,
}
"""Of the valence, by element, with the compound left out of the shifts."""
WIDEST = 0.45
LEVEL = (0.85, 0.95)
REFUSED = 0.05
DETECTED = 0.90
LARGEST_DEVIATIONS = {"Fe": 0.15}
LARGEST_DEVIATION = 0.30
"""Of mixtures from the line between their ends."""
NEAR_RIGHT, FOUR_RIGHT = 0.90, 0.80
LEAST_RANKS = {
    "ligand_coordination": 0.70,
    "bond_length_spread": 0.75,
    "min_ligand_distance": 0.75,
}


@dataclass(frozen=True)
class Target:
    """One aim, what was found, and whether it is met; None where that is unknown."""

    aim: str
    found: str
    met: bool | None


def targets(found: Sequence[Evaluation]) -> list[Target]:
    """Return every aim for these models, pooled or by element, with what was found."""
    scores = [one.stated[1] for one in found]
    dealt = [
        one.splits for one in found if one.splits and one.splits["version"] == one.card.version
    ]

    def rho(name: str, label: str, least: float) -> Target:
        ranks = [_rho(one, name) for one in scores]
        single = [over_splits(one, name, "spearman_score") for one in dealt]
        return _median(f"{label}, ρ", least, ranks, single)

    def figure(label: str, name: str, limit: float, *, most: bool, digits: int = 2) -> Target:
        values = [getattr(one, name) for one in scores]
        single = [over_splits(one, name) for one in dealt]
        return _median(label, limit, values, single, most=most, digits=digits)

    return [
        rho("oxidation_state", "oxidation state", 0.93),
        figure("coordination, weighted F1", "f1_score", 0.85, most=False),
        *(rho(name, TITLES[name], least) for name, least in LEAST_RANKS.items()),
        figure(
            "reconstruction MAE",
            "reconstruction_mean_absolute_error_loss",
            0.040,
            most=True,
            digits=3,
        ),
        figure("largest |ρ| of a free dimension", "free_correlation_loss", 0.30, most=True),
        *_measured_targets(found),
    ]


def _median(
    label: str,
    limit: float,
    values: Sequence[float],
    single: Sequence[tuple[float, float]],
    *,
    most: bool = False,
    digits: int = 2,
) -> Target:
    """Judge the median over elements; `single` are networks over several splits, beside it."""
    known = [one for one in values if np.isfinite(one)]
    aim = f"simulated: {label} {'≤' if most else '≥'} {limit:g}"
    if not known:
        return Target(aim, NOTHING, None)
    middle = float(np.median(known))
    met = middle <= limit if most else middle >= limit
    text = f"median {middle:.{digits}f} ({min(known):.{digits}f} to {max(known):.{digits}f})"
    if single:
        found = scatter(_middle(single), digits)
        text += f"; single networks over splits {found} ({len(single)} of {len(values)} elements)"
    return Target(aim, text, met)


def _middle(each: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians, over elements, of mean and scatter."""
    mean, spread = np.median(np.array(each), axis=0)
    return float(mean), float(spread)


def _measured_targets(found: Sequence[Evaluation]) -> list[Target]:
    aims: list[Target] = []
    for one in found:
        element = one.card.edge.element
        if element in LARGEST_ERRORS:
            stands = measured_standing([one], "oxidation_state")
            limit = LARGEST_ERRORS[element]
            aims.append(
                Target(
                    f"measured: valence MAE of {element} ≤ {limit:g}",
                    f"{number(stands.error)} ({stands.compounds} compounds)",
                    stands.error <= limit if stands.compounds else None,
                )
            )
    orders = [ordered_pairs(one.compounds) for one in found]
    right, pairs = sum(one[0] for one in orders), sum(one[1] for one in orders)
    pooled = measured_standing(found, "oxidation_state")
    refused = refused_share([compound for one in found for compound in one.compounds])
    near, four = _coordination(found)
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
        _share("measured: coordination of 4, 5 and 6 right in", NEAR_RIGHT, near),
        _share("measured: the same of four-coordinated compounds", FOUR_RIGHT, four),
        *(_detected(found, kind) for kind in ("foil", "other")),
        *(_mixed(one) for one in found if one.mixtures is not None),
        _mixtures_hold(found),
    ]
    return aims


def measured_standing(found: Sequence[Evaluation], name: str) -> "Measured":
    """Return the figures of one descriptor over all measured compounds, left out where it can be.

    Those whose spectra are not in the repository count too.
    """
    errors, halves = list[float](), list[float]()
    for one in found:
        output = next((out for out in one.card.outputs if out.name == name), None)
        if output is None:
            continue
        for compound in one.shown:
            if name in compound.error:
                errors.append(abs(compound.error[name]))
                whole = compound.whole(name, output.level)
                value = np.array([compound.estimate[name]])
                halves.append(float(calibrated_half(output, value, np.array([whole]))[0]))
    return Measured(
        compounds=len(errors),
        error=float(np.mean(errors)) if errors else float("nan"),
        hits=sum(error <= half for error, half in zip(errors, halves, strict=True)),
        width=2.0 * float(np.median(halves)) if halves else float("nan"),
    )


@dataclass(frozen=True)
class Measured:
    """Compounds, mean absolute error, intervals that hold, and their median full width."""

    compounds: int
    error: float
    hits: int
    width: float


def _coordination(found: Sequence[Evaluation]) -> tuple[list[bool], list[bool]]:
    """Return which compounds of 4, 5 and 6 neighbours are answered right, and those of 4 alone."""
    name, near, four = "coordination_number", list[bool](), list[bool]()
    for compound in (one for each in found for one in each.shown):
        truth = compound.truth.get(name, 0.0)
        if truth in (4.0, 5.0, 6.0):
            told, known = classes(np.array([compound.estimate[name], truth]))
            near.append(bool(told == known))
            four += near[-1:] if truth == 4.0 else []
    return near, four


def _share(aim: str, least: float, right: Sequence[bool]) -> Target:
    met = float(np.mean(right)) >= least if right else None
    return Target(f"{aim} ≥ {least:.0%}", f"{sum(right)} of {len(right)}", met)


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
    limit = LARGEST_DEVIATIONS.get(one.card.edge.element, LARGEST_DEVIATION)
    return Target(
        f"measured: {mixed.low} with {mixed.high} monotone, within {limit} of linear",
        f"{mixed.monotone:.0%} monotone, largest deviation {mixed.worst:.2f} "
        f"(median {mixed.deviation:.2f}) of {mixed.pairs} pairs",
        mixed.monotone == 1.0 and mixed.worst <= limit,
    )


def _mixtures_hold(found: Sequence[Evaluation]) -> Target:
    held = [share for one in found for share in one.mixed.held]
    aim = f"measured: intervals of mixtures of two compounds hold {LEVEL[0]:.0%} to {LEVEL[1]:.0%}"
    if not held:
        return Target(aim, NOTHING, None)
    share = float(np.mean(held))
    return Target(aim, f"{share:.0%} of {len(held)}", LEVEL[0] <= share <= LEVEL[1])


def _rho(scores: SimulatedScores, name: str) -> float:
    return scores.descriptors[name].spearman_score if name in scores.descriptors else float("nan")
