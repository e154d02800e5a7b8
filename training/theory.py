"""What measured standards say: the theory shift, its errors, and the edge of the domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from rankaae_stream.calibration import (
    ShiftFit,
    ShiftScan,
    fit_theory_shift,
    leave_one_compound_out,
)
from rankaae_stream.latent import reconstruction_residual
from training.config import Config
from training.ensemble import Ensemble
from training.evaluate import Figures, Maps, distances, estimate
from training.standards import Standard

__all__ = [
    "THRESHOLD_RULE",
    "Measured",
    "Theory",
    "by_compound",
    "by_file",
    "domain_score",
    "domain_threshold",
    "evaluate_standards",
]

Floats = NDArray[np.float64]

FEWEST = 5
"""Compounds below which quartiles say nothing."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the ensemble says of one measured file at the theory shift."""

    standard: Standard
    estimates: Figures
    distance: float


@dataclass(frozen=True, eq=False)
class Theory:
    """Theory shift and what the standards say with it.

    `errors` holds, by descriptor, the interval half-width that the standards'
    leave-one-compound-out errors call for; `left_out` those of the valence by compound.
    """

    fit: ShiftFit
    errors: Figures
    left_out: Figures
    measured: tuple[Measured, ...]


def evaluate_standards(
    config: Config,
    standards: Sequence[Standard],
    ensemble: Ensemble,
    maps: Maps,
    domain_start: float,
) -> Theory:
    """Find the theory shift on the standards, and judge every measured file with it.

    Only files of role standard take part in the fit, averaged by compound; the
    others are reported with the shift that results. With as few compounds as
    there are, the half-width is the normal quantile of the level times the root
    mean square of the leave-one-compound-out error.
    """
    used = [standard for standard in standards if standard.role == "standard"]
    compounds = sorted({standard.compound for standard in used})
    same = [np.array([standard.compound == c for standard in used]) for c in compounds]
    low, high = config.calibration.shift_range
    shifts = np.arange(low, high + 0.125, 0.25)
    residual = np.empty((shifts.size, len(compounds)))
    values = np.empty((shifts.size, len(compounds), len(maps)))
    for i, shift in enumerate(shifts):
        flat = _flat(config, used, float(shift))
        latent = ensemble.encode(flat)
        misfits, estimates = (
            _misfit(config, used, ensemble, maps, flat),
            estimate(maps, latent),
        )
        for j, chosen in enumerate(same):
            residual[i, j] = misfits[chosen].mean()
            values[i, j] = estimates[chosen].mean(axis=0)

    def of(name: str) -> Floats:
        return np.array([getattr(used[int(np.argmax(chosen))], name) for chosen in same])

    calibrated = np.array([all(s.foil for s in used if s.compound == c) for c in compounds])
    scan = ShiftScan(shifts, residual, values[:, :, 0], of("oxidation_state"), calibrated)
    weight = config.calibration.residual_weight
    found = fit_theory_shift(scan, weight)
    left_out = leave_one_compound_out(scan, weight)
    normal = NormalDist().inv_cdf(0.5 + config.calibration.level / 2)
    errors = dict.fromkeys(config.network.descriptors, 0.0)
    errors["oxidation_state"] = normal * float(np.sqrt(np.mean(left_out**2)))
    if "coordination_number" in errors:
        k = config.network.descriptors.index("coordination_number")
        at = np.array([np.interp(found.value, shifts, column) for column in values[:, :, k].T])
        off = at - of("coordination_number")
        errors["coordination_number"] = normal * float(np.sqrt(np.mean(off**2)))

    flat = _flat(config, standards, found.value)
    estimates = estimate(maps, ensemble.encode(flat))
    distance = distances(config, ensemble, flat, domain_start)
    measured = tuple(
        Measured(
            standard,
            dict(zip(config.network.descriptors, map(float, estimates[i]), strict=True)),
            float(distance[i]),
        )
        for i, standard in enumerate(standards)
    )
    return Theory(found, errors, dict(zip(compounds, map(float, left_out), strict=True)), measured)


def domain_threshold(on_validation: Floats, measured: Sequence[Measured]) -> float:
    """Threshold by `THRESHOLD_RULE`.

    Parameters
    ----------
    on_validation : (n,) array
        Distances of simulated validation spectra.
    measured : sequence of Measured
    """
    compounds: dict[str, list[float]] = {}
    for one in measured:
        if one.standard.role == "standard":
            compounds.setdefault(one.standard.compound, []).append(one.distance)
    simulated = float(np.quantile(on_validation, 0.95))
    if len(compounds) < FEWEST:
        return simulated
    lower, upper = np.quantile([np.mean(d) for d in compounds.values()], [0.25, 0.75])
    return min(simulated, float(upper + 1.5 * (upper - lower)))


THRESHOLD_RULE = (
    "threshold: 5 % false alarms on augmented validation spectra, or Tukey's fence (upper quartile "
    "plus 1.5 interquartile ranges) of five or more measured compounds where that is lower: "
    "simulated spectra are sharper than measured ones, and harder to reconstruct"
)


def domain_score(measured: Sequence[Measured]) -> float:
    """AUROC of telling foils and other compounds from standards by their distance.

    NaN where one of the two kinds is missing.
    """
    inside = [one.distance for one in measured if one.standard.role == "standard"]
    outside = [one.distance for one in measured if one.standard.role in ("foil", "other")]
    if not inside or not outside:
        return float("nan")
    return float(mannwhitneyu(outside, inside).statistic) / (len(inside) * len(outside))


def _flat(config: Config, standards: Sequence[Standard], shift: float) -> Floats:
    grid = config.grid.energy_grid()
    return np.stack([standard.on_grid(grid, config.e0, shift) for standard in standards])


def _misfit(
    config: Config,
    standards: Sequence[Standard],
    ensemble: Ensemble,
    maps: Maps,
    flat: Floats,
) -> Floats:
    """Residual (n,) of the reconstruction with the valence held at its known value.

    Left to itself an encoder answers a wrong shift with another valence, whose
    curve fits nearly as well: the minimum is flat and wanders over several eV.
    Height and slope are fitted, the shift of course is not.
    """
    known = np.array([standard.oxidation_state for standard in standards])
    latent = ensemble.encode(flat)
    for m, one in enumerate(maps[0]):
        latent[m, :, 0] = np.interp(known, one.value, one.latent)
    grid = config.grid.energy_grid().relative()
    start = config.calibration.start
    output = ensemble.decode(latent).mean(axis=0)
    fitted = reconstruction_residual(flat, output, grid, start, max_shift=0.0)[0]
    return np.sqrt(np.mean((flat - fitted)[:, grid >= start] ** 2, axis=1))


def by_compound(theory: Theory) -> dict[str, Figures]:
    """Truth, mean estimate and left-out error of every compound among the standards."""
    table: dict[str, Figures] = {}
    for compound, error in theory.left_out.items():
        same = [
            one
            for one in theory.measured
            if one.standard.compound == compound and one.standard.role == "standard"
        ]
        table[compound] = {
            "files": len(same),
            "oxidation_state": same[0].standard.oxidation_state,
            "estimate": float(np.mean([one.estimates["oxidation_state"] for one in same])),
            "left_out_error": error,
            "distance": float(np.mean([one.distance for one in same])),
        }
    return table


def by_file(theory: Theory) -> dict[str, dict[str, float | str]]:
    """Every measured file, whatever its role."""
    return {
        one.standard.file: {
            "role": one.standard.role,
            "foil": one.standard.foil,
            "foil_shift": one.standard.shift,
            "true_oxidation_state": one.standard.oxidation_state,
            "true_coordination_number": one.standard.coordination_number,
            "distance": one.distance,
            **one.estimates,
        }
        for one in theory.measured
    }
