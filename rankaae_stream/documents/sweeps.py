"""One run's readings to spectra, possibly still growing.

Repeats can share a run and fly scans come down in energy, so a run is split at
the turning points of the motion, never sorted as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Edge, Floats, Limits, Spectrum

__all__ = ["Sweep", "Sweeps", "check_order", "to_spectrum"]

TURN = 2.0
"""Motion back by more than this, eV, is a new sweep; encoder jitter is far below it."""
FRAGMENT = 10
"""A sweep of fewer points is a fragment."""


_NONE: Mapping[str, Any] = MappingProxyType({})


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

    def channel(self, channel: Channel) -> tuple[Floats, Floats]:
        """Energies (n,) and mu (n,) in time order."""
        return np.asarray(self.energy), np.asarray(self.mu[channel])


class Sweeps:
    """Splits a run's points at the turning points of the motion."""

    def __init__(self) -> None:
        self.items: list[Sweep] = []
        self._direction = 0
        self._extreme = 0

    def add(
        self,
        energy: Floats,
        mu: Mapping[Channel, Floats],
        levels: Mapping[str, Floats] = _NONE,
        limits: Mapping[str, Limits] = _NONE,
        flags: Mapping[Channel, Sequence[Flag]] | None = None,
    ) -> None:
        """Append points (n,) in time order; every channel and level (n,).

        `flags` are of the sweep that they end in, or without points of the last one.
        """
        for i in range(energy.size):
            self._add(
                float(energy[i]),
                {channel: float(v[i]) for channel, v in mu.items()},
                {role: float(v[i]) for role, v in levels.items()},
            )
        if self.items and energy.size:
            self.items[-1].limits = limits
        if self.items and flags:
            self.items[-1].flags = flags

    def add_whole(
        self,
        index: int,
        energy: Floats,
        mu: Mapping[Channel, Floats],
        flags: Mapping[Channel, Sequence[Flag]],
        levels: Mapping[str, Floats] = _NONE,
        limits: Mapping[str, Limits] = _NONE,
    ) -> None:
        """Append a sweep that was split before; see `add`."""
        values: dict[Channel, list[float]] = {channel: v.tolist() for channel, v in mu.items()}
        read: dict[str, list[float]] = {role: v.tolist() for role, v in levels.items()}
        self.items.append(Sweep(index, energy.tolist(), values, flags, read, limits))

    def _add(self, energy: float, mu: dict[Channel, float], levels: dict[str, float]) -> None:
        if not np.isfinite(energy):
            return
        if not self.items:
            self.items.append(Sweep(0))
        sweep = self.items[-1]
        if sweep.energy:
            extreme = sweep.energy[self._extreme]
            if self._direction == 0 and abs(energy - sweep.energy[0]) > TURN:
                self._direction = 1 if energy > sweep.energy[0] else -1
            elif self._direction and (extreme - energy) * self._direction > TURN:
                sweep = self._turn(sweep)
        sweep.energy.append(energy)
        for channel, value in mu.items():
            sweep.mu.setdefault(channel, []).append(value)
        for role, level in levels.items():
            sweep.levels.setdefault(role, []).append(level)
        if (energy - sweep.energy[self._extreme]) * (self._direction or 1) >= 0:
            self._extreme = len(sweep.energy) - 1

    def _turn(self, sweep: Sweep) -> Sweep:
        """Begin a sweep with the points measured since the turning point."""
        cut = self._extreme + 1
        following = Sweep(sweep.index + 1, sweep.energy[cut:])
        for channel, values in sweep.mu.items():
            following.mu[channel] = values[cut:]
            del values[cut:]
        for role, read in sweep.levels.items():
            following.levels[role] = read[cut:]
            del read[cut:]
        following.limits = sweep.limits
        del sweep.energy[cut:]
        self.items.append(following)
        energies = following.energy
        # Back in one step may be a jump to where the next repeat begins: which way
        # that one goes, its own points tell.
        self._direction = -self._direction if energies else 0
        self._extreme = int(np.argmax(np.asarray(energies) * self._direction)) if energies else 0
        return following


def check_order(sweeps: list[Sweep]) -> None:
    """Refuse a finished run whose energies jump to and fro.

    Raises
    ------
    Refused
        ``energy_order`` when most of several sweeps are fragments.
    """
    fragments = sum(len(sweep.energy) < FRAGMENT for sweep in sweeps)
    if len(sweeps) >= 4 and 2 * fragments > len(sweeps):
        points = sum(len(sweep.energy) for sweep in sweeps)
        raise Refused(
            "energy_order",
            f"the energy reverses {len(sweeps) - 1} times in {points} points; "
            "a scan must move one way at a time",
        )


def to_spectrum(
    energy: Floats,
    mu: Floats,
    edge: Edge,
    channel: Channel,
    *,
    source: str = "",
    sweep: int = 0,
    complete: bool = True,
) -> tuple[Spectrum, int]:
    """Sort, average duplicates, leave out points without a finite mu.

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
            f"{channel} has {levels.size} usable energies out of {energy.size} points; "
            "its signals are zero, negative or missing",
        )
    averaged = np.bincount(where, weights=mu[good]) / np.bincount(where)
    return Spectrum(levels, averaged, edge, channel, source, sweep, complete), bad
