"""Simulate the devices: a monochromator, ion chambers, a sample wheel.

Data keys are the hyphenated ones of ophyd-async: ``mono-energy``, ``ic-i0``,
``ic-it`` (behind the sample) and ``ic-ir`` (behind the foil).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from bluesky.protocols import Location
from ophyd_async.core import (
    AsyncStatus,
    Device,
    StandardReadable,
    soft_signal_r_and_setter,
    soft_signal_rw,
)
from ophyd_async.core import StandardReadableFormat as Format

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.simulate.samples import Curves, Sample, curves

__all__ = ["Beamline", "Energy", "Faults", "IonChambers", "Monochromator", "SampleWheel"]

LIMITS = (2000.0, 30000.0)
"""Energies that a Si(111) monochromator reaches, eV."""
GLITCH = 0.8
"""Share of its counts that a chamber has in a glitch: mu is 0.2 higher, a fifth of a step."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults; intervals are of the energy that is read, eV, ends included.

    Attributes
    ----------
    no_beam : (float, float) or None
        The beam is lost: every chamber reads 0.
    nan : (float, float) or None
        The amplifier behind the sample is off its range: ``it`` is not a number.
    glitch : (float, float) or None
        The chamber behind the sample reads `GLITCH` of what it should.
    beside : float
        Share of the beam that passes beside the sample, 0 to 1.
    offset : float
        How much more than the true energy the encoder reads, eV.
    """

    no_beam: tuple[float, float] | None = None
    nan: tuple[float, float] | None = None
    glitch: tuple[float, float] | None = None
    beside: float = 0.0
    offset: float = 0.0


class Energy(StandardReadable):
    """The monochromator's energy axis, eV: a movable with an encoder.

    Parameters
    ----------
    jitter : float
        Standard deviation of where the axis comes to rest, eV. The encoder
        reads the true position.
    rng : numpy.random.Generator
    """

    def __init__(self, jitter: float, rng: np.random.Generator, name: str = "") -> None:
        self._jitter, self._rng = jitter, rng
        with self.add_children_as_readables(Format.HINTED_SIGNAL):
            self.readback, self._set_readback = soft_signal_r_and_setter(float, 7000.0, units="eV")
        self.setpoint = soft_signal_rw(float, 7000.0, units="eV")
        super().__init__(name=name)

    def set_name(self, name: str, *, child_name_separator: str | None = None) -> None:
        """Name the axis; the readback has its name, as a motor's does."""
        super().set_name(name, child_name_separator=child_name_separator)
        self.readback.set_name(name)

    async def check_value(self, value: float) -> None:
        """Refuse an energy out of the monochromator's reach."""
        if not LIMITS[0] <= value <= LIMITS[1]:
            raise ValueError(
                f"{value:.1f} eV is outside the monochromator's {LIMITS[0]:.0f}-{LIMITS[1]:.0f} eV"
            )

    @AsyncStatus.wrap
    async def set(self, value: float) -> None:
        """Move to an energy, eV."""
        await self.check_value(value)
        await self.setpoint.set(float(value))
        self._set_readback(float(value) + self._jitter * float(self._rng.standard_normal()))

    async def locate(self) -> Location[float]:
        """Return the energy it was sent to and the energy it is at, eV."""
        return Location(
            setpoint=await self.setpoint.get_value(), readback=await self.readback.get_value()
        )


class Monochromator(Device):
    """A monochromator; its energy is ``mono-energy``."""

    def __init__(self, jitter: float, rng: np.random.Generator, name: str = "mono") -> None:
        self.energy = Energy(jitter, rng)
        super().__init__(name=name)


class SampleWheel(StandardReadable):
    """Holds mounted samples; moving it to a name brings that sample into the beam."""

    def __init__(self, name: str = "wheel") -> None:
        with self.add_children_as_readables():
            self.position, self._set_position = soft_signal_r_and_setter(str, "")
        self.in_beam: Curves | None = None
        self._mounted: dict[str, Curves] = {}
        super().__init__(name=name)

    def mount(self, sample: Sample) -> None:
        """Put a sample onto the wheel; it replaces a sample of the same name."""
        self._mounted[sample.name] = curves(sample)

    @AsyncStatus.wrap
    async def set(self, value: str) -> None:
        """Turn to a mounted sample, by name; an empty name leaves the beam free."""
        if value and value not in self._mounted:
            raise ValueError(f"no sample {value!r} is mounted; there are {list(self._mounted)}")
        self.in_beam = self._mounted.get(value)
        self._set_position(value)


class IonChambers(StandardReadable):
    """Three ion chambers that count together, in counts: i0, it, ir."""

    def __init__(
        self,
        counts: Callable[[float], Awaitable[tuple[float, float, float]]],
        *,
        dwell: float,
        counting_time: float,
        name: str = "ic",
    ) -> None:
        self._counts = counts
        with self.add_children_as_readables(Format.HINTED_SIGNAL):
            self.i0, self._set_i0 = soft_signal_r_and_setter(float, units="counts")
            self.it, self._set_it = soft_signal_r_and_setter(float, units="counts")
            self.ir, self._set_ir = soft_signal_r_and_setter(float, units="counts")
        with self.add_children_as_readables(Format.CONFIG_SIGNAL):
            self.dwell = soft_signal_rw(float, dwell, units="s")
            self.counting_time = soft_signal_rw(float, counting_time, units="s")
        super().__init__(name=name)

    @AsyncStatus.wrap
    async def trigger(self) -> None:
        """Wait the dwell, then set the counts."""
        dwell = await self.dwell.get_value()
        if dwell > 0:
            await asyncio.sleep(dwell)
        i0, it, ir = await self._counts(await self.counting_time.get_value())
        self._set_i0(i0)
        self._set_it(it)
        self._set_ir(ir)


class Beamline:
    """A step-scan XAS beamline: ``mono.energy``, ``ic`` and ``wheel``.

    Parameters
    ----------
    dwell : float
        Seconds that each point really takes.
    counting_time : float
        Seconds of beam to which the noise belongs: a demonstration shows in
        50 ms what a beamline counts in a second.
    flux : float
        Counts a second in i0.
    jitter : float
        Standard deviation of where the energy axis comes to rest, eV.
    seed : int
        Of the noise: the same seed and the same plans give the same counts.
    faults : Faults

    Examples
    --------
    >>> beamline = Beamline(dwell=0.0)
    >>> beamline.mono.energy.name, beamline.ic.it.name
    ('mono-energy', 'ic-it')
    """

    def __init__(
        self,
        *,
        dwell: float = 0.05,
        counting_time: float = 1.0,
        flux: float = 1e7,
        jitter: float = 0.005,
        seed: int = 0,
        faults: Faults | None = None,
    ) -> None:
        for name, value in (("dwell", dwell), ("jitter", jitter)):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"{name} must be 0 or more, not {value}")
        for name, value in (("counting_time", counting_time), ("flux", flux)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be more than 0, not {value}")
        # Two generators: the noise does not depend on who moves the axis.
        axis, counter = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        self.faults = faults or Faults()
        self._flux, self._rng, self._exposures = flux, counter, 0
        self.wheel = SampleWheel()
        self.mono = Monochromator(jitter, axis)
        self.ic = IonChambers(self._counts, dwell=dwell, counting_time=counting_time)

    @property
    def devices(self) -> tuple[Device, ...]:
        """Return the devices, which must be connected before they are used."""
        return (self.mono, self.ic, self.wheel)

    async def _counts(self, counting_time: float) -> tuple[float, float, float]:
        """Return the counts of i0, it and ir for one exposure at the present energy."""
        energy = await self.mono.energy.readback.get_value()
        if _inside(energy, self.faults.no_beam):
            return 0.0, 0.0, 0.0
        true = energy - self.faults.offset
        sample, foil = self.wheel.in_beam.at(true) if self.wheel.in_beam else (0.0, 0.0)
        expected = self._flux * counting_time * self._drift()
        behind = self.faults.beside + (1.0 - self.faults.beside) * math.exp(-sample)
        i0, it, ir = (
            float(self._rng.poisson(expected * transmitted))
            for transmitted in (1.0, behind, behind * math.exp(-foil))
        )
        if _inside(energy, self.faults.glitch):
            it *= GLITCH
        return i0, math.nan if _inside(energy, self.faults.nan) else it, ir

    def _drift(self) -> float:
        """Return the beam's intensity: it decays, is topped up, and sways with the optics."""
        self._exposures += 1
        decay = 0.02 * (self._exposures % 400) / 400
        return 1.0 - decay + 0.01 * math.sin(2 * math.pi * self._exposures / 173)


def _inside(energy: float, interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] <= energy <= interval[1]
