"""Play a reduction: one sample is scanned again and again while hydrogen turns it into another.

What is in the beam is known at each scan, so that what a series finds can be shown beside it.
"""

import uuid
from dataclasses import dataclass

import numpy as np

from rankaae_stream.simulate.devices import Beamline, Faults
from rankaae_stream.simulate.plans import scan, scan_energies
from rankaae_stream.simulate.samples import Sample, mixture, series
from rankaae_stream.simulate.sessions import Case

__all__ = ["reduction"]

NAME = "Fe2O3 under H2"
"""Of the sample, in all of its scans."""
COUNTING = 0.06
"""Seconds of beam a point: noise of 0.3 % of the edge step."""
AXIS = 0.05
"""Standard deviation of the axis from scan to scan, eV; the foil shows it."""
COLD, HOT = 573.0, 773.0
"""Temperatures of the first scans and of the plateau, K."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is in the beam at one scan: the share of FeO, 0 to 1, K, and what goes wrong."""

    reduced: float
    temperature: float
    fault: str = ""


BESIDE, SPIKE = "half of the beam passed beside the sample", "one point is a glitch"
REPEATS = (_Moment(0.0, COLD),) * 2 + (_Moment(0.0, COLD, BESIDE),) + (_Moment(0.0, COLD),) * 2
RAMP = tuple(
    _Moment(share, COLD + share * (HOT - COLD), SPIKE if share == 0.45 else "")
    for share in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
)
PLATEAU = (_Moment(1.0, HOT),) * 3
COURSE = (*REPEATS, *RAMP, *PLATEAU)


def reduction(*, quick: bool, dwell: float) -> list[Case]:
    """Return the scans of a reduction of Fe2O3 to FeO, to be run by a RunEngine in their order.

    Repeats of the oxide come first, then a ramp, then a plateau. One repeat is damaged, and one
    scan of the ramp has a glitch. The noise and the axis of each scan are always the same.

    Parameters
    ----------
    quick : bool
        Wider steps.
    dwell : float
        Seconds that a point takes.
    """
    group = str(uuid.uuid4())
    offsets = AXIS * np.random.default_rng(0).standard_normal(len(COURSE))
    cases: list[Case] = []
    for number, (moment, offset) in enumerate(zip(COURSE, offsets, strict=True), start=1):
        sample = _sample(moment.reduced)
        beamline = Beamline(
            dwell=dwell,
            counting_time=COUNTING,
            seed=number,
            faults=_faults(moment.fault, sample, float(offset)),
        )
        # Over the edge 1 eV, or 2 eV: fourteen scans should not take longer than all samples.
        energies = scan_energies(sample, step=1.0 if quick else 0.5, quick=True)
        md = {"sample_temperature": moment.temperature, "scan_group_uid": group}
        case = Case(
            NAME,
            f"scan {number}",
            plan=scan(beamline, sample, energies=energies, md=md),
            points=energies.size,
            series=NAME,
            fault=moment.fault,
            truth=sample.oxidation_state,
            fractions={part.name: share for part, share in sample.parts},
        )
        cases.append(case)
    return cases


def _sample(reduced: float) -> Sample:
    feo, _, fe2o3 = series("Fe")[:3]
    return mixture(NAME, {fe2o3: 1.0 - reduced, feo: reduced})


def _faults(fault: str, sample: Sample, offset: float) -> Faults:
    at = sample.edge.e0 + 30.0
    return Faults(
        glitch=(at - 0.1, at + 0.1) if fault == SPIKE else None,
        beside=0.5 if fault == BESIDE else 0.0,
        offset=offset,
    )
