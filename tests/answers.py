"""Make results of no scan, each with a uid that follows from its name."""

import uuid

import numpy as np

from rankaae_stream.report import Curves, Described, Estimate, Report, Result
from rankaae_stream.results.compose import ResultRun, compose
from rankaae_stream.spectrum import Edge

__all__ = ["answer"]

GRID = 7112.0 + np.arange(-40.0, 100.0, 4.0)


def answer(name: str, state: float = 2.5, *, complete: bool = True) -> ResultRun:
    """A result whose uid follows from its name."""
    report = Report(
        source=name,
        element="Fe",
        channel="transmission",
        sweep=0,
        points=200,
        energy_range=(6950.0, 7300.0),
        complete=complete,
        edge=Edge("Fe", "K", 7112.0),
        estimates=(Estimate("oxidation_state", state, state - 0.2, state + 0.2, 0.9, "1"),),
        curves=Curves(GRID, np.linspace(0, 1, GRID.size), np.linspace(0, 0.9, GRID.size)),
    )
    uid = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    raw = {"uid": name, "time": 1000.0}
    return compose(
        Result(report, uid, raw, 2000.0, (Described("oxidation_state", "1", "measured"),), GRID),
        {},
        (),
    )
