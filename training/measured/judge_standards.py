"""Fit the theory shift on measured standards, and judge every standard with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.domain import fit_nuisances, latent_length, region_misfits
from rankaae_stream.spectra.axis import LIBRARY_UNCERTAINTY
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Floats
from training.config import Config
from training.descriptors import DESCRIPTORS
from training.measured.constants import Constant
from training.measured.intervals import ErrorModel, Widening
from training.measured.maps import (
    Line,
    Maps,
    apply_line,
    estimate,
    fit_line,
    member_estimates,
    straighten,
)
from training.measured.shift import ShiftFit, ShiftScan, fit_theory_shift, leave_one_compound_out
from training.measured.standards import Standard
from training.network.ensemble import Ensemble
from training.trials.select import rank_correlation

__all__ = [
    "Compound",
    "Theory",
    "best_shifts",
    "is_shown",
    "judge_standards",
    "scan_shifts",
]

FEWEST_SHOWN = 3
"""Compounds below which nothing was shown."""

HELD, RANKED = 0.8, 0.5
"""Share of intervals that must hold, and rank correlation, for a descriptor to be shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Compound:
    """One measured compound at the theory shift, averaged over its files.

    Attributes
    ----------
    name : str
    truth, value : (k,) arrays
        Descriptors from its crystal structure (NaN where unknown), and estimates.
    left_out : float
        Valence error by the shift and the line of the other compounds; NaN where
        there is no other.
    own_shift : float
        Where its own residual is lowest, eV, the valence held.
    half, axis : (k,) arrays
        The simulated compounds' half-width at its spread, and what the axis'
        uncertainty adds.
    error : (k,) array
        Size of what is wrong beyond the axis' part; NaN where the truth is unknown.
    misfits : (r,) array
        By region of the domain, as shares of its structure.
    length : float
        Of its latents.
    """

    name: str
    truth: Floats
    value: Floats
    left_out: float
    own_shift: float
    half: Floats
    axis: Floats
    error: Floats
    misfits: Floats
    length: float


@dataclass(frozen=True, slots=True, eq=False)
class Theory:
    """Theory shift, the maps with the valence's linear correction, and every compound."""

    fit: ShiftFit
    line: Line | None
    maps: Maps
    compounds: tuple[Compound, ...]
    constants: tuple[Constant, ...] = ()


def judge_standards(
    config: Config,
    standards: Sequence[Standard],
    constants: Sequence[Constant],
    ensemble: Ensemble,
    maps: Maps,
    errors: Sequence[ErrorModel],
    domain_start: float,
) -> Theory:
    """Find the theory shift and the valence's line on the standards, and judge each with them.

    Only files of role standard take part, averaged by compound. Constants stand for
    compounds whose spectra may not be shipped.
    """
    used = [standard for standard in standards if standard.role == "standard"]
    if not used:
        return Theory(_from_constants(config, constants), None, maps, (), tuple(constants))
    scan, values = scan_shifts(config, used, ensemble, maps)
    weight = config.calibration.residual_weight
    fit = _with_constants(fit_theory_shift(scan, weight, _axis_uncertainty(used)), scan, constants)
    left_out, _ = leave_one_compound_out(scan, weight)
    line = fit_line(scan.estimates_at(fit.value), scan.truth)
    valence = config.network.descriptors.index("oxidation_state")
    maps = tuple(
        tuple(straighten(one, line) for one in members) if k == valence else members
        for k, members in enumerate(maps)
    )
    values[:, :, valence] = apply_line(line, values[:, :, valence])
    compounds = _judge_compounds(
        config, used, ensemble, maps, errors, domain_start, fit, scan, values, left_out
    )
    return Theory(fit, line, maps, compounds, tuple(constants))


def _judge_compounds(
    config: Config,
    used: Sequence[Standard],
    ensemble: Ensemble,
    maps: Maps,
    errors: Sequence[ErrorModel],
    domain_start: float,
    fit: ShiftFit,
    scan: ShiftScan,
    values: Floats,
    left_out: Floats,
) -> tuple[Compound, ...]:
    """Average every compound's estimates, errors and misfits at the fitted shift over its files."""
    valence = config.network.descriptors.index("oxidation_state")
    flat = _flat(config, used, fit.value)
    latent = ensemble.encode(flat)
    each = member_estimates(maps, latent)
    half = np.stack([error.half(one.std(axis=0)) for error, one in zip(errors, each, strict=True)])
    energy = config.grid.energy_grid().relative()
    fitted = fit_nuisances(flat, ensemble.decode(latent).mean(axis=0), energy, domain_start)
    misfits = region_misfits(flat, fitted, energy, domain_start, config.calibration.regions)
    length = latent_length(latent)
    own = best_shifts(scan)
    normal = NormalDist().inv_cdf(0.5 + config.calibration.level / 2)
    compounds: list[Compound] = []
    for c, name in enumerate(_compounds(used)):
        same = np.array([standard.compound == name for standard in used])
        truth = _truth(config, used[int(np.argmax(same))])
        sigma = np.hypot(fit.uncertainty, _foil_uncertainty(used, same))
        at = _interpolated(scan.shift, values[:, c], fit.value + np.array([-sigma, 0.0, sigma]))
        error = at[1] - truth
        if np.isfinite(left_out[c]):
            error[valence] = left_out[c]
        axis = normal * np.abs(at[[0, 2]] - at[1]).max(axis=0)
        inside = half[:, same].mean(axis=1)
        compounds.append(
            Compound(
                name=name,
                truth=truth,
                value=at[1],
                left_out=float(left_out[c]),
                own_shift=float(own[c]),
                half=inside,
                axis=axis,
                error=np.sqrt(np.maximum(error**2 - axis**2, 0.0)),
                misfits=misfits[same].mean(axis=0),
                length=float(length[same].mean()),
            )
        )
    return tuple(compounds)


def is_shown(compounds: Sequence[Compound], k: int, widening: Widening) -> bool:
    """Tell whether measured compounds support descriptor `k`, by the card's evidence rule."""
    known = [one for one in compounds if np.isfinite(one.truth[k])]
    truth = np.array([one.truth[k] for one in known])
    if truth.size < FEWEST_SHOWN or np.ptp(truth) == 0.0:
        return False
    missed = sum(one.error[k] > widening.half(float(one.half[k])) for one in known)
    return bool(
        missed <= max(1.0, (1.0 - HELD) * truth.size)
        and rank_correlation(np.array([one.value[k] for one in known]), truth) >= RANKED
    )


def scan_shifts(
    config: Config, used: Sequence[Standard], ensemble: Ensemble, maps: Maps
) -> tuple[ShiftScan, Floats]:
    """Scan compounds (c) over trial shifts (s); return the scan and estimates (s, c, k)."""
    names = _compounds(used)
    same = [np.array([standard.compound == name for standard in used]) for name in names]
    low, high = config.calibration.shift_range
    shifts = np.arange(low, high + 0.125, 0.25)
    residual = np.empty((shifts.size, len(names)))
    values = np.empty((shifts.size, len(names), len(maps)))
    for i, shift in enumerate(shifts):
        flat = _flat(config, used, float(shift))
        misfits = _misfit(config, used, ensemble, maps, flat)
        estimates = estimate(maps, ensemble.encode(flat))
        for c, chosen in enumerate(same):
            residual[i, c] = misfits[chosen].mean()
            values[i, c] = estimates[chosen].mean(axis=0)
    valence = config.network.descriptors.index("oxidation_state")
    truth = np.array([used[int(np.argmax(chosen))].oxidation_state for chosen in same])
    return ShiftScan(shifts, residual, values[:, :, valence].copy(), truth), values


def best_shifts(scan: ShiftScan) -> Floats:
    """Return the shift at which each compound's own residual is lowest, (c,) eV.

    Their dependence on the valence shows how much the simulation compresses chemical shifts.
    """
    return scan.shift[np.argmin(scan.residual, axis=0)]


def _compounds(used: Sequence[Standard]) -> list[str]:
    return sorted({standard.compound for standard in used})


def _truth(config: Config, standard: Standard) -> Floats:
    names = list(DESCRIPTORS)
    return standard.labels[[names.index(name) for name in config.network.descriptors]]


def _interpolated(shift: Floats, values: Floats, wanted: Floats) -> Floats:
    """Interpolate values (s, k) at wanted shifts, (w, k)."""
    columns: list[Floats] = [np.interp(wanted, shift, column) for column in values.T]
    return np.stack(columns, axis=1)


def _axis_uncertainty(used: Sequence[Standard]) -> float:
    """Return the standard deviation of the standards' axes taken together, eV.

    Files without a foil err with their session, by `AXIS_UNCERTAINTY`; every compound
    weighs the same.
    """
    files = {name: sum(s.compound == name for s in used) for name in _compounds(used)}
    share: dict[str, float] = {}
    for one in used:
        if one.shift is None:
            part = 1.0 / (files[one.compound] * len(files))
            share[one.session] = share.get(one.session, 0.0) + part
    return AXIS_UNCERTAINTY * float(np.sqrt(sum(part**2 for part in share.values())))


def _foil_uncertainty(used: Sequence[Standard], same: NDArray[np.bool_]) -> float:
    """Return the uncertainty of a compound's axis, eV: less where its files had a foil."""
    each = [
        LIBRARY_UNCERTAINTY if one.shift else AXIS_UNCERTAINTY
        for one, chosen in zip(used, same, strict=True)
        if chosen
    ]
    return float(np.mean(each))


def _with_constants(fit: ShiftFit, scan: ShiftScan, constants: Sequence[Constant]) -> ShiftFit:
    """Add each constant to the residual's optimum as one more compound.

    How far they move it enters the uncertainty: compounds that disagree know less.
    """
    if not constants:
        return fit
    n, m = scan.truth.size, len(constants)
    by_residual = (n * fit.by_residual + sum(one.shift for one in constants)) / (n + m)
    moved = by_residual - fit.by_residual
    uncertainty = float(np.hypot(fit.uncertainty * np.sqrt(n / (n + m)), moved))
    return ShiftFit(fit.value + moved, uncertainty, by_residual, fit.by_valence)


def _from_constants(config: Config, constants: Sequence[Constant]) -> ShiftFit:
    if not constants:
        raise ConfigurationError(
            f"{config.element}: labels.csv has no standard and constants.toml no constant, so the "
            "theory shift cannot be found; add a measured compound of known valence"
        )
    value = float(np.mean([one.shift for one in constants]))
    uncertainty = float(np.sqrt(np.mean([one.uncertainty**2 for one in constants])))
    return ShiftFit(value, uncertainty / np.sqrt(len(constants)), value, None)


def _flat(config: Config, standards: Sequence[Standard], shift: float) -> Floats:
    grid = config.grid.energy_grid()
    return np.stack([standard.on_grid(grid, shift) for standard in standards])


def _misfit(
    config: Config,
    standards: Sequence[Standard],
    ensemble: Ensemble,
    maps: Maps,
    flat: Floats,
) -> Floats:
    """Return the residual (n,) of the reconstruction, the valence held at its known value.

    Left to itself an encoder answers a wrong shift with another valence, whose
    curve fits nearly as well: the minimum is flat and wanders over several eV.
    Height and slope are fitted, the shift of course is not.
    """
    valence = config.network.descriptors.index("oxidation_state")
    known = np.array([standard.oxidation_state for standard in standards])
    latent = ensemble.encode(flat)
    for m, one in enumerate(maps[valence]):
        latent[m, :, valence] = np.interp(known, one.value, one.latent)
    grid = config.grid.energy_grid().relative()
    start = config.calibration.start
    output = ensemble.decode(latent).mean(axis=0)
    fitted = fit_nuisances(flat, output, grid, start, max_shift=0.0)
    return np.sqrt(np.mean((flat - fitted)[:, grid >= start] ** 2, axis=1))
