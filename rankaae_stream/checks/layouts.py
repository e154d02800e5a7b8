"""Check what every layout must do with a run of its own kind, and with any other.

For a layout of your own, in pytest::

    @pytest.mark.parametrize("check", layout_checks(MyLayout(...)), ids=lambda check: check.name)
    def test_my_layout(check):
        check.ask()
"""

import copy
import dataclasses
import functools
import itertools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rankaae_stream.checks.bad_runs import spoiled_runs, strangers
from rankaae_stream.checks.base import Broken, Check
from rankaae_stream.checks.read_run import RunReader, Understood, read_run
from rankaae_stream.checks.rehearsal import (
    SAMPLE,
    at_home,
    example_scan,
    rehearse,
    without_numbers,
)
from rankaae_stream.checks.same_scan import check_equal
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.layouts.base import Layout, Scan
from rankaae_stream.spectrum import Channel

__all__ = ["layout_checks"]


def layout_checks(
    layout: Layout,
    folder: Path | None = None,
    start: Mapping[str, Any] | None = None,
    area: str = "layout",
) -> list[Check]:
    """Return the contract of a layout, as checks that can be run in any order.

    Parameters
    ----------
    layout : Layout
        Not checked if it has no `rehearse` (`layouts.base.Rehearsing`).
    folder : Path, optional
        Where files of generated runs go. It replaces the layout's `allowed_roots`, so that
        the layout reads no other files; by default a temporary folder that is removed with
        the checks.
    start : mapping, optional
        Keys that the start document of a run has at this beamline.
    area : str
        Of the checks.
    """
    contract = _Contract(layout, folder, dict(start or {}))
    return [Check(area, name, ask) for name, ask in contract.checks().items()]


class _Contract:
    """Checks that share a layout and the runs that were made for it."""

    def __init__(self, layout: Layout, folder: Path | None, start: dict[str, Any]) -> None:
        self._given = folder, layout
        self._start = start
        self._numbers = itertools.count()

    @functools.cached_property
    def _folder(self) -> Path:
        """Make the folder for the first check that runs: pytest collects more than it runs."""
        folder, _ = self._given
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="rankaae-stream-rehearsal-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder.resolve()

    @functools.cached_property
    def _layout(self) -> Layout:
        return at_home(self._given[1], self._folder)

    def checks(self) -> dict[str, Callable[[], str]]:
        return {
            "a rising scan is read as it was played": self.rising,
            "a falling scan is read as it was played": self.falling,
            "several sweeps in one run are separated": self.sweeps,
            "an aborted scan gives what was measured": self.aborted,
            "a signal without a number affects its channel only": self.dark,
            "a missing field is named": self.missing,
            "documents it does not know are ignored": self.others,
            "documents are not changed": self.unchanged,
            "runs that interleave do not mix": self.interleaved,
            "strange values are refused by name": self.strange,
        }

    def rising(self) -> str:
        scan = self._scan()
        seen = check_equal(self._read(self._make(scan)), scan)
        if self._layout is not self._given[1]:
            seen += f"; files of generated runs were in {self._folder}, not in allowed_roots"
        return seen

    def falling(self) -> str:
        scan = self._scan(falling=True)
        found = self._read(self._make(scan))
        energy = found.sweeps[0].energy if found.sweeps else [0.0, 0.0]
        seen = check_equal(found, scan)
        if energy[0] < energy[-1]:
            raise Broken("a falling scan is read as rising", "give points in the order of time")
        return seen

    def sweeps(self) -> str:
        scan = self._scan(sweeps=3)
        return check_equal(self._read(self._make(scan)), scan)

    def aborted(self) -> str:
        scan = self._scan(upto=40.0)
        found = self._read(self._make(scan))
        check_equal(found, scan)
        last = max(max(sweep.energy) for sweep in found.sweeps) - SAMPLE.edge.e0
        if last > 41.0:
            raise Broken(f"a scan that ended at +40 eV is read up to {last:+.1f} eV")
        return f"read up to {last:+.1f} eV"

    def dark(self) -> str:
        scan = self._scan()
        channels = self._channels(scan)
        if not channels:
            raise Broken("no channel is read of a run")
        role = "it" if "transmission" in channels else channels[0]
        found = self._read(self._make(without_numbers(scan, role)))
        if found.refusal is not None:
            raise Broken(
                f"a run without a number in {role} is refused as a whole: {found.refusal.message}",
                "give a signal that is not finite as NaN; whole sweeps are judged later",
            )
        lost = {"it": {"transmission", "reference"}, "ir": {"reference"}}.get(role, {role})
        others: list[Channel] = [channel for channel in channels if channel not in lost]
        check_equal(found, scan, others)
        return f"{role} failed above the edge; read without it: {', '.join(others) or 'none'}"

    def missing(self) -> str:
        scan = self._scan()
        signals = {role: values for role, values in scan.signals.items() if role != "i0"}
        found = self._read(self._make(dataclasses.replace(scan, signals=signals)))
        if found.refusal is None:
            raise Broken("a run without i0 is read", "raise Refused('missing_fields', ...)")
        if found.refusal.name != "missing_fields" or not found.refusal.message:
            raise Broken(
                f"a run without i0 is refused as {found.refusal.name!r}: {found.refusal.message}",
                "refuse it as 'missing_fields', and list the fields wanted and those there are",
            )
        return found.refusal.message

    def others(self) -> str:
        scan = self._scan()
        documents = self._make(scan)
        mixed: Documents = [documents[0], *strangers(documents[0][1]["uid"])]
        for item in documents[1:]:
            mixed.append(item)
            if item[0] == "event":
                other = {key: _other(value) for key, value in item[1]["data"].items()}
                stranger = {"uid": "x", "descriptor": "a stranger", "data": other}
                mixed.append(("event", {**item[1], **stranger}))
        found = self._read(mixed)
        check_equal(found, scan)
        return "another stream, its events and files, and a document of the future"

    def unchanged(self) -> str:
        documents = self._make(self._scan(sweeps=2))
        before = copy.deepcopy(documents)
        self._read(documents)
        changed = {item[0] for item, was in zip(documents, before, strict=True) if item != was}
        if changed:
            raise Broken(
                f"documents were changed: {', '.join(sorted(changed))}",
                "copy before you change: others are subscribed to the same documents",
            )
        return f"{len(documents)} documents"

    def interleaved(self) -> str:
        scans = self._scan(), self._scan(falling=True, upto=120.0)
        runs = [self._make(scan) for scan in scans]
        # The pipeline decides which document belongs to which run.
        readers = [RunReader(self._layout, documents[0][1]) for documents in runs]
        longest = max(len(documents) for documents in runs)
        for place in range(1, longest):
            for reader, documents in zip(readers, runs, strict=True):
                for name, doc in documents[place : place + 1]:
                    reader.feed(name, doc)
        for reader, scan in zip(readers, scans, strict=True):
            check_equal(reader.end(), scan)
        return "two runs, one document of each in turn"

    def strange(self) -> str:
        documents, refused = self._make(self._scan()), set[str]()
        tried = 0
        for what, spoiled in spoiled_runs(documents):
            tried += 1
            try:
                found = read_run(self._layout, spoiled)
            except Exception as error:
                raise Broken(
                    f"{what}: {type(error).__name__}: {error} is raised",
                    "raise nothing but rankaae_stream.errors.Refused",
                ) from error
            if found.refusal is not None:
                refused.add(found.refusal.name)
            elif "file" in what:
                raise Broken(
                    f"{what}: it is read",
                    "open files through rankaae_stream.files.resolve.resolve only",
                )
        return f"{tried} variants; refused as {', '.join(sorted(refused)) or 'nothing'}"

    # ---- runs ------------------------------------------------------------------------

    def _scan(self, **settings: Any) -> Scan:
        return example_scan(f"rehearsal {next(self._numbers)}", self._start, **settings)

    def _make(self, scan: Scan) -> Documents:
        return rehearse(self._layout, scan, self._folder)

    def _channels(self, scan: Scan) -> list[Channel]:
        found = self._read(self._make(dataclasses.replace(scan, name=f"{scan.name}-whole")))
        return list(dict.fromkeys(channel for sweep in found.sweeps for channel in sweep.mu))

    def _read(self, documents: Documents) -> Understood:
        return read_run(self._layout, documents)


def _other(value: Any) -> Any:
    """Return another value than that of the scan, where it is a number."""
    return 1.01 * value if isinstance(value, (int, float)) else value
