"""Judge measured compounds with a model's networks, and keep what each one showed.

What a compound showed is plain data: of spectra that lie in the repository it is found anew
whenever a model is built; of others it stands in `elsewhere.toml`; of other elements in their
models' evaluation.json.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from tomli_w import dumps

from rankaae_stream.model.domain import fit_nuisances, poor_fit
from rankaae_stream.spectra.axis import LIBRARY_UNCERTAINTY
from rankaae_stream.spectra.regrid import perturbed
from rankaae_stream.spectrum import AXIS_UNCERTAINTY, Floats
from training.config import Config
from training.descriptors import DESCRIPTORS
from training.folders import STANDARDS
from training.measured.intervals import ErrorModel
from training.measured.maps import Maps, member_estimates
from training.measured.own_shift import Laid, left_out_shifts
from training.measured.standards import Standard
from training.network.ensemble import Ensemble
from training.simulated.dataset import Simulated, valence_per_ev

__all__ = ["ELSEWHERE", "Shown", "as_toml", "elsewhere", "laid_elsewhere", "others", "show"]

ELSEWHERE = STANDARDS / "elsewhere.toml"
"""What spectra showed that may not be shipped or lie elsewhere."""

THEORY_UNCERTAINTY = 0.4
"""Standard deviation of an element's shifts as a whole, eV: single compounds scatter by 1."""

ROUNDED = 4
"""Decimals that are kept in `ELSEWHERE`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one measured compound showed, averaged over its files.

    Attributes
    ----------
    element, compound : str
    oxidation_state : float
    truth, estimate : dict
        By descriptor, those that its structure defines.
    error : dict
        Estimate minus truth; of the valence with the compound left out of the shifts.
    half : dict
        The simulated compounds' half-width at the members' spread.
    axis : dict
        What one standard deviation of the energy axis changes the estimate by; of the valence
        no less than it changes a mixture's.
    misfit : float
        Root mean square that the reconstruction leaves, edge steps.
    shift : float or None
        What lays it on its own structure beyond the configured shifts, eV.
    source : str
        Empty for spectra of the repository.
    """

    element: str
    compound: str
    oxidation_state: float
    truth: dict[str, float]
    estimate: dict[str, float]
    error: dict[str, float]
    half: dict[str, float]
    axis: dict[str, float]
    misfit: float
    shift: float | None = None
    source: str = ""

    def whole(self, name: str, level: float) -> float:
        """Return the half-width of a descriptor with the energy axis' part."""
        normal = NormalDist().inv_cdf(0.5 + level / 2)
        return float(np.hypot(self.half[name], normal * self.axis[name]))


def show(
    config: Config,
    simulated: Simulated,
    used: Sequence[Standard],
    ensemble: Ensemble,
    maps: Maps,
    errors: Sequence[ErrorModel],
    laid: Sequence[Laid],
    start: float,
) -> list[Shown]:
    """Judge every compound of the files.

    Parameters
    ----------
    config : Config
    simulated : Simulated
    used : sequence of Standard
        Of role standard.
    ensemble : Ensemble
    maps : Maps
    errors : sequence of ErrorModel
        Of simulated compounds, one a descriptor.
    laid : sequence of Laid
        The compounds that could be laid on their own structure.
    start : float
        Energy from which on the reconstruction is compared, eV.
    """
    moved = left_out_shifts(laid, config.data.shifts)
    shifts = {one.compound: one.shift for one in laid}
    per_ev = valence_per_ev(simulated)
    found: list[Shown] = []
    for name in sorted({one.compound for one in used}):
        same = [one for one in used if one.compound == name]
        each = [
            _judge(config, one, ensemble, maps, errors, moved.get(name, 0.0), start, per_ev)
            for one in same
        ]
        found.append(replace(_average(each), shift=shifts.get(name)))
    return found


def others(config: Config, models: Path) -> list[Shown]:
    """Read what compounds of other elements showed, from the models that the index names."""
    index = models / "index.json"
    if not index.is_file():
        return []
    found: list[Shown] = []
    for key in sorted(json.loads(index.read_text(encoding="utf-8"))):
        path = models / key / "evaluation.json"
        rows: list[dict[str, Any]] = (
            json.loads(path.read_text(encoding="utf-8")).get("compounds", [])
            if path.is_file()
            else []
        )
        found += [Shown(**row) for row in rows if row["element"] != config.element]
    return found


def elsewhere(element: str, path: Path = ELSEWHERE) -> list[Shown]:
    """Read what spectra of an element showed that are not in the repository."""
    if not path.is_file():
        return []
    plain: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = plain.get("compound", [])
    return [Shown(**row) for row in rows if row["element"] == element]


def laid_elsewhere(absent: Sequence[Shown]) -> list[Laid]:
    """Return where spectra of `elsewhere` lie on their own structure."""
    return [
        Laid(one.compound, one.oxidation_state, one.shift, one.misfit, own=False, sites=0)
        for one in absent
        if one.shift is not None
    ]


def as_toml(found: Sequence[Shown]) -> str:
    """Return entries of `ELSEWHERE`."""
    return dumps({"compound": [_rounded(asdict(one)) for one in found]})


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Round numbers and leave out what is unknown: TOML has no null."""
    plain: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            plain[key] = _rounded(cast("Mapping[str, Any]", value))
        elif isinstance(value, float):
            plain[key] = round(value, ROUNDED)
        elif value is not None:
            plain[key] = value
    return plain


def _judge(
    config: Config,
    one: Standard,
    ensemble: Ensemble,
    maps: Maps,
    errors: Sequence[ErrorModel],
    left_out: float,
    start: float,
    per_ev: float,
) -> Shown:
    """Judge one file: as it is, and for the valence's error with the axis of the others."""
    names, grid = config.network.descriptors, config.grid.energy_grid()
    sigma = LIBRARY_UNCERTAINTY if one.shift else AXIS_UNCERTAINTY
    energy, flat = one.normalized()
    by = float(np.hypot(sigma, THEORY_UNCERTAINTY))
    copies = perturbed(energy, flat, grid, 0.0, by, 0.0)[:3]
    # A moved copy repeats the end values where the scan ends too early for it.
    without = perturbed(energy, flat, grid, 0.0, left_out, 0.0)[2:3]
    latent = ensemble.encode(np.concatenate([copies, without]))
    each = member_estimates(maps, latent)  # (k, m, 4)
    value, spread = each.mean(axis=1), each.std(axis=1)
    curve = fit_nuisances(
        copies[0], ensemble.decode(latent[:, :1]).mean(axis=0)[0], grid.relative(), start
    )
    misfit, _ = poor_fit(copies[0], curve, grid.relative(), start)
    truth = _truth(names, one)
    valence = names.index("oxidation_state")
    error = value[:, 0] - truth
    error[valence] = value[valence, 3] - truth[valence]
    half = [float(model.half(spread[k, :1])[0]) for k, model in enumerate(errors)]
    axis = np.abs(value[:, 1:3] - value[:, :1]).max(axis=1)
    axis[valence] = max(axis[valence], per_ev * by)
    known = [k for k in range(len(names)) if np.isfinite(truth[k])]

    def by_name(values: Sequence[float] | Floats) -> dict[str, float]:
        return {names[k]: float(values[k]) for k in known}

    return Shown(
        element=config.element,
        compound=one.compound,
        oxidation_state=one.oxidation_state,
        truth=by_name(truth),
        estimate=by_name(value[:, 0]),
        error=by_name(error),
        half=by_name(half),
        axis=by_name(axis),
        misfit=float(misfit),
        source=one.source,
    )


def _average(same: Sequence[Shown]) -> Shown:
    """Average the files of one compound."""

    def mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return replace(
        same[0],
        estimate=mean([one.estimate for one in same]),
        error=mean([one.error for one in same]),
        half=mean([one.half for one in same]),
        axis=mean([one.axis for one in same]),
        misfit=float(np.mean([one.misfit for one in same])),
    )


def _truth(names: Sequence[str], one: Standard) -> Floats:
    every = list(DESCRIPTORS)
    return one.labels[[every.index(name) for name in names]]
