"""Split a run's readings into sweeps, possibly still growing, and sweeps into spectra.

Repeats can share a run and fly scans come down in energy, so a run is split at
the turning points of the motion, never sorted as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import Reading
from rankaae_stream.layouts.rebin import FRAGMENT, turning_points
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Edge, Floats, Limits, Origin, Spectrum

__all__ = ["Sweep", "Sweeps", "check_order", "out_of_order", "to_spectrum"]


@dataclass(slots=True, eq=False)
class Sweep:
    """One motion over the edge, in time order, growing.

    `levels` are what detectors with `limits` read at each point, by role.
    """

    index: int
    energy: list[float] = field(default_factory=list[float])
    mu: dict[Channel, list[float]] = field(default_factory=dict[Channel, list[float]])
    flags: Mapping[Channel, Sequence[Flag]] = field(default_factory=dict[Channel, Sequence[Flag]])
    levels: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])

    @property
    def channels(self) -> list[Channel]:
        """Channels of the sample: all but the foil's."""
        return [channel for channel in self.mu if channel != "reference"]

    def channel(self, channel: Channel) -> tuple[Floats, Floats]:
        """Return energies (n,), eV, and mu (n,) in time order."""
        return np.asarray(self.energy), np.asarray(self.mu[channel])

    def extend(self, reading: Reading) -> None:
        """Append a reading's points, those with a finite energy."""
        known = np.isfinite(reading.energy)
        self.energy += reading.energy[known].tolist()
        for channel, mu in reading.mu.items():
            self.mu.setdefault(channel, []).extend(mu[known].tolist())
        for role, level in reading.levels.items():
            self.levels.setdefault(role, []).extend(level[known].tolist())
        self.limits = reading.limits

    def cut(self, at: int) -> "Sweep":
        """Keep the points before `at`; return a next sweep with those from there on."""
        following = Sweep(self.index + 1, self.energy[at:], limits=self.limits)
        del self.energy[at:]
        for channel, mu in self.mu.items():
            following.mu[channel] = mu[at:]
            del mu[at:]
        for role, level in self.levels.items():
            following.levels[role] = level[at:]
            del level[at:]
        return following


class Sweeps:
    """Split a run's points at the turning points of the motion."""

    def __init__(self) -> None:
        self.items: list[Sweep] = []

    def add(self, reading: Reading) -> None:
        """Append points in time order, or a sweep that the layout has split.

        Flags are of the sweep that the points end in, or without points of the last one.
        """
        if reading.sweep is not None:
            self.items.append(Sweep(reading.sweep))
        if not self.items and np.isfinite(reading.energy).any():
            self.items.append(Sweep(0))
        if not self.items:
            return
        if reading.energy.size:
            self.items[-1].extend(reading)
        if reading.sweep is None:
            begin = 0
            for rows in turning_points(np.asarray(self.items[-1].energy))[:-1]:
                self.items.append(self.items[-1].cut(rows.stop - begin))
                begin = rows.stop
        if reading.flags:
            self.items[-1].flags = reading.flags


def check_order(points: Sequence[int]) -> None:
    """Refuse a finished scan whose energies jump to and fro.

    Parameters
    ----------
    points : sequence of int
        How many each of its sweeps has.

    Raises
    ------
    Refused
        ``energy_order`` when most of several sweeps are fragments.
    """
    fragments = sum(count < FRAGMENT for count in points)
    if len(points) >= 4 and 2 * fragments > len(points):
        raise out_of_order(points)


def out_of_order(points: Sequence[int]) -> Refused:
    """Return the refusal of a scan whose sweeps have so many points, ``energy_order``."""
    return Refused(
        "energy_order",
        f"the energy reverses {len(points) - 1} times in {sum(points)} points; "
        "a scan must move one way at a time",
    )


def to_spectrum(
    energy: Floats,
    mu: Floats,
    edge: Edge,
    origin: Origin,
) -> tuple[Spectrum, int]:
    """Sort points by energy, average duplicates, and leave out those without a finite mu.

    Parameters
    ----------
    energy, mu : (n,) arrays
        In time order.

    Returns
    -------
    spectrum : Spectrum
    bad : int
        How many points were left out.

    Raises
    ------
    Refused
        ``bad_signal`` when fewer than two points remain.
    """
    good = np.isfinite(energy) & np.isfinite(mu)
    bad = int(good.size - np.count_nonzero(good))
    levels, where = np.unique(energy[good], return_inverse=True)
    if levels.size < 2:
        raise Refused(
            "bad_signal",
            f"{origin.channel} has {levels.size} usable energies out of {energy.size} points; "
            "its signals are zero, negative or missing",
        )
    averaged = np.bincount(where, weights=mu[good]) / np.bincount(where)
    return Spectrum(levels, averaged, edge, origin), bad
