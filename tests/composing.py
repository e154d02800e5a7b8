"""Compose results for tests of what sends and keeps them, and keep what is sent."""

import threading
from typing import Any

import numpy as np
from event_model import DocumentNames, schema_validators
from waiting import PATIENCE

from rankaae_stream.errors import Refusal
from rankaae_stream.report import (
    Curves,
    Described,
    Domain,
    Estimate,
    Flag,
    ModelName,
    Report,
    Result,
    Shifts,
)
from rankaae_stream.results.compose import ResultRun, compose
from rankaae_stream.spectrum import Edge, NormalizationRanges

RETRY = (0.01, 0.02)
FE = Edge("Fe", "K", 7112.0)
GRID = FE.e0 + np.arange(-40.0, 100.0, 4.0)
OUTPUTS = (
    Described("oxidation_state", "1", "measured"),
    Described("coordination_number", "1", "simulation"),
)
COPIED = ("data_session", "tiled_access_tags", "proposal", "cycle", "scan_id", "sample_name")
COPIED += ("scan_group_uid",)


def result(
    uid: str = "11111111-1111-5111-8111-111111111111",
    /,
    *,
    state: float | None = 2.7,
    complete: bool = True,
    model: bool = True,
    flags: tuple[Flag, ...] = (),
    **start: Any,
) -> Result:
    """A report with everything in it; without a `state` a refusal."""
    refusal = Refusal("coverage", "the scan spans 7000.0-7100.0 eV") if state is None else None
    estimates = tuple(
        Estimate(name, value, value - 0.2, value + 0.2, 0.9, "1")
        for name, value in (("oxidation_state", state), ("coordination_number", 5.5))
        if value is not None and state is not None
    )
    curves = Curves(GRID, np.linspace(0, 1, GRID.size), np.linspace(0, 0.9, GRID.size))
    report = Report(
        source="raw-1",
        element="Fe",
        channel="transmission",
        sweep=0,
        points=231,
        energy_range=(6952.0, 7272.0),
        complete=complete,
        edge=FE if model else None,
        edge_step=0.98 if estimates else None,
        estimates=estimates,
        flags=(Flag("small_edge_step", "warning", 0.05, "1", "the edge step is 0.05"), *flags),
        refusal=refusal,
        domain=Domain(0.01, 0.05) if estimates else None,
        latent=(0.1, -0.2) if estimates else (),
        model=ModelName("rankaae fe-k", "2026-11-22", "ab" * 32) if model else None,
        normalization=NormalizationRanges() if estimates else None,
        shifts=Shifts(0.4, 6.1, "raw-1") if estimates else Shifts(),
        code_version="0.1.0",
        curves=curves if estimates else None,
    )
    raw = {"uid": "raw-1", "time": 1000.0, "sample_name": "Fe2O3", **start}
    outputs, grid = (OUTPUTS, GRID) if model else ((), None)
    return Result(report, uid, raw, 2000.0, outputs, grid)


def composed(uid: str | int = 1, /, **settings: Any) -> ResultRun:
    if isinstance(uid, int):
        uid = f"{uid:08x}-1111-5111-8111-111111111111"
    return compose(result(uid, **settings), {"name": "sim"}, COPIED)


def validate(run: ResultRun) -> None:
    for name, doc in run.documents():
        schema_validators[DocumentNames[name]].validate(doc)


class KeepingSink:
    """Keeps uids; fails while `failing` is set, waits while `go` is not."""

    name = "test"

    def __init__(self) -> None:
        self.finals: list[str] = []
        self.shown: list[tuple[str, float]] = []
        self.failing: BaseException | None = None
        self.tried = 0
        self.closed = False
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()

    def provisional(self, run: ResultRun) -> None:
        self._enter()
        self.shown.append((run.uid, run.event["data"]["oxidation_state"]))

    def final(self, run: ResultRun) -> None:
        self._enter()
        self.finals.append(run.uid)

    def close(self) -> None:
        self.closed = True

    def _enter(self) -> None:
        self.tried += 1
        self.busy.set()
        assert self.go.wait(PATIENCE)
        if self.closed:
            raise AssertionError("used after it was closed")
        if self.failing is not None:
            raise self.failing
