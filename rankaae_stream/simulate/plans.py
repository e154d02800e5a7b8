"""Scan a sample with ordinary bluesky plans."""

import uuid
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import ophyd_async.plan_stubs as ops

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.simulate.devices import Beamline
from rankaae_stream.simulate.samples import Sample, curves
from rankaae_stream.spectrum import Floats

__all__ = ["Direction", "scan", "scan_energies", "step_energies"]

Direction = Literal["rising", "falling"]


def scan(
    beamline: Beamline,
    sample: Sample,
    *,
    energies: Sequence[float] | Floats | None = None,
    direction: Direction = "rising",
    step: float = 0.5,
    quick: bool = False,
    md: Mapping[str, Any] | None = None,
) -> Generator[Any, Any, str]:
    """Move a sample in and scan its edge.

    Parameters
    ----------
    beamline : Beamline
    sample : Sample
    energies : (n,) array, optional
        eV, in the order of the scan; by default `scan_energies` of the sample,
        which `direction`, `step` and `quick` shape.
    direction : {"rising", "falling"}
    step : float
        Step over the edge, eV.
    quick : bool
        Half as many points.
    md : mapping, optional
        Further keys of the start document, before these defaults.

    Returns
    -------
    str
        The run's uid.
    """
    if energies is None:
        energies = scan_energies(sample, direction=direction, step=step, quick=quick)
    start = {
        "element": sample.element,
        "edge": sample.edge.shell,
        "sample_name": sample.name,
        "sample_formula": sample.formula,
        "scan_kind": "step_scan",
        "proposal": "000000",
        "cycle": "simulated",
        "data_session": "pass-000000",
        "scan_group_uid": str(uuid.uuid4()),
        **(md or {}),
    }
    beamline.wheel.mount(sample)
    yield from ops.ensure_connected(*beamline.devices)
    yield from bps.mv(beamline.wheel, sample.name)
    # floats throughout: a first energy that is an integer makes an integer column
    axis: tuple[Any, ...] = (beamline.mono.energy, [float(energy) for energy in energies])
    return (yield from bp.list_scan([beamline.ic], *axis, md=start))


def scan_energies(
    sample: Sample,
    *,
    direction: Direction = "rising",
    step: float = 0.5,
    quick: bool = False,
    start: float = -160.0,
    stop: float = 160.0,
) -> Floats:
    """Return the energies of a step scan over a sample's edge, eV, within its file's range.

    The parameters are those of `step_energies`.
    """
    e0 = sample.edge.e0
    relative = step_energies(step=step, quick=quick, start=start, stop=stop)
    low, high = curves(sample).span
    energies = e0 + relative
    energies = energies[(energies >= low) & (energies <= high)]
    if energies.size < 2:
        raise ConfigurationError(
            f"{start:.1f} to {stop:.1f} eV from {e0:.1f} eV holds {energies.size} points of "
            f"{sample.spectrum} ({low:.1f}-{high:.1f} eV)"
        )
    return energies if direction == "rising" else energies[::-1]


def step_energies(
    *, step: float = 0.5, quick: bool = False, start: float = -160.0, stop: float = 160.0
) -> Floats:
    """Return the energies of a usual step scan, eV from the edge, rising.

    5 eV steps to -30 eV, `step` over the edge to +50 eV, then 2.5 eV; all twice
    as wide if `quick`.

    Examples
    --------
    >>> energies = step_energies()
    >>> energies.size, float(energies[0]), float(energies[-1])
    (231, -160.0, 160.0)
    >>> step_energies(quick=True).size
    116
    """
    if not step > 0:
        raise ConfigurationError(f"the step over the edge must be more than 0 eV, not {step}")
    factor = 2.0 if quick else 1.0
    regions = ((-1000.0, -30.0, 5.0), (-30.0, 50.0, step), (50.0, 1000.0, 2.5))
    parts = [
        np.arange(round((high - low) / (factor * width)), dtype=np.float64) * factor * width + low
        for low, high, width in regions
    ]
    energies: Floats = np.concatenate(parts)
    return energies[(energies >= start) & (energies <= stop)]
