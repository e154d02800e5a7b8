"""Check that a run was read as it was played."""

from collections.abc import Sequence

import numpy as np

from rankaae_stream.checks.base import Broken
from rankaae_stream.checks.read_run import Understood
from rankaae_stream.documents.sweeps import Sweep
from rankaae_stream.layouts.base import Scan
from rankaae_stream.spectrum import Channel, Floats

__all__ = ["ENERGY_TOLERANCE", "MU_TOLERANCE", "check_equal"]

ENERGY_TOLERANCE = 0.02
"""Largest difference to the played energies, eV."""
MU_TOLERANCE = 0.01
"""Largest difference to the played mu, in edge steps: bins average over a few points."""


def check_equal(found: Understood, scan: Scan, only: Sequence[Channel] | None = None) -> str:
    """Compare every sweep with the scan, and return the largest differences in words.

    Raises
    ------
    Broken
    """
    if found.refusal is not None:
        raise Broken(f"the run is refused as {found.refusal.name!r}: {found.refusal.message}")
    indices = sorted({sweep.index for sweep in found.sweeps})
    if indices != list(range(scan.sweeps)):
        raise Broken(
            f"{scan.sweeps} sweeps were played, {len(indices)} are read",
            "give points in the order of time, or number the sweeps in Reading.sweep",
        )
    worst, shift, channels = 0.0, 0.0, dict[Channel, int]()
    for sweep in found.sweeps:
        for channel in sweep.mu:
            if only is None or channel in only:
                deviation = _deviation(sweep, channel, scan)
                worst, shift = max(worst, deviation[0]), max(shift, deviation[1])
                channels[channel] = len(sweep.energy)
    if only is None and not channels:
        raise Broken("no channel is read", "give mu of a channel in Reading.mu")
    points = ", ".join(f"{channel} ({count} points)" for channel, count in channels.items())
    return f"{points or 'nothing'}: energy within {shift:.3f} eV, mu within {worst:.4f} of the step"


def _deviation(sweep: Sweep, channel: Channel, scan: Scan) -> tuple[float, float]:
    """Return a channel's differences to the played one: mu in edge steps, and energy, eV."""
    energy, mu = sweep.channel(channel)
    order = np.argsort(energy)
    energy, mu = energy[order], mu[order]
    up = np.argsort(scan.energy)
    axis, played = scan.energy[up], _played(channel, scan)[up]
    step = float(np.ptp(played))
    reach = max(abs(energy[0] - axis[0]), abs(energy[-1] - axis[-1]))
    if reach > 10.0:
        raise Broken(
            f"{channel} was played from {axis[0]:.1f} to {axis[-1]:.1f} eV and is read from "
            f"{energy[0]:.1f} to {energy[-1]:.1f} eV"
        )
    if not np.isfinite(mu).all():
        raise Broken(f"{channel} has {np.sum(~np.isfinite(mu))} points without a number")
    inner = slice(1, -1)  # the bins at the ends hold rows from before and after the motion
    wanted, found = np.interp(energy[inner], axis, played), mu[inner]
    # Amplifiers add a constant to a logarithm, and a factor to a ratio.
    if channel in ("transmission", "reference"):
        found = found + np.median(wanted - found)
    else:
        found = found * (found @ wanted) / (found @ found)
    difference = found - wanted
    slope = np.gradient(wanted, energy[inner])
    shift = abs(float(difference @ slope / (slope @ slope)))
    worst = float(np.abs(difference).max()) / step
    if shift > ENERGY_TOLERANCE or worst > MU_TOLERANCE:
        raise Broken(
            f"{channel} differs by {worst:.3f} edge steps and {shift:.3f} eV from what was "
            f"played (at most {MU_TOLERANCE} and {ENERGY_TOLERANCE})"
        )
    return worst, shift


def _played(channel: Channel, scan: Scan) -> Floats:
    signals = scan.signals
    if channel == "transmission":
        return np.log(signals["i0"] / signals["it"])
    if channel == "reference":
        return np.log(signals["it"] / signals["ir"])
    return signals[channel] / signals["i0"]
