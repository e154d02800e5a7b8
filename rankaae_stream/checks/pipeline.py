"""Play generated runs through a profile's whole pipeline: answered, or refused by name."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rankaae_stream.analysis import Analysis
from rankaae_stream.checks.base import Broken, Check, NotChecked
from rankaae_stream.checks.rehearsal import (
    SAMPLE,
    at_home,
    example_scan,
    rehearse,
    start_of,
    without_numbers,
)
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Layout, Scan
from rankaae_stream.layouts.several import SeveralLayouts
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import Profile
from rankaae_stream.report import Report

__all__ = ["answer_checks"]


def answer_checks(
    profile: Profile,
    layouts: list[Layout],
    layout: Layout,
    name: str,
    folder: Path,
    load: Callable[[], Analysis],
) -> list[Check]:
    """Return checks of the results of one layout's runs, with all layouts of the profile.

    Parameters
    ----------
    profile : Profile
    layouts : list of Layout
        The profile's.
    layout : Layout
        Its runs are generated.
    name : str
        Area of the checks.
    folder : Path
        Where files of generated runs go.
    load : callable
        Loads the models, once for all.
    """
    whole = _Whole(profile, layouts, layout, folder, load)
    return [
        Check(name, "a whole scan is answered", whole.answered),
        Check(
            name,
            "a scan that ends at +40 eV is answered from its part, the next whole",
            whole.short,
        ),
        Check(name, "a channel without a number is refused or flagged", whole.dark),
    ]


class _Whole:
    """All layouts of a profile together, as the live stream has them."""

    def __init__(
        self,
        profile: Profile,
        layouts: list[Layout],
        layout: Layout,
        folder: Path,
        load: Callable[[], Analysis],
    ) -> None:
        self._profile = profile
        self._played = layout
        choice = profile.run.build()
        self._start = start_of(choice, choice.xas[0] if choice.xas else None)
        self._folder = folder
        self._layout = SeveralLayouts([at_home(layout, folder) for layout in layouts])
        self._numbers = itertools.count()
        self._load = load

    def answered(self) -> str:
        reports = self._play(self._scan())
        self._all_answered(reports)
        return "; ".join(_summary(report) for report in reports)

    def short(self) -> str:
        reports = self._play(self._scan(upto=40.0), self._scan())
        sources = list(dict.fromkeys(report.source for report in reports))
        short = [report for report in reports if report.source == sources[0]]
        self._all_answered([report for report in reports if report.source != sources[0]])
        for report in short:
            # A model of one's own may have no network for parts: it refuses them.
            refused = report.refusal is not None and report.refusal.name == "coverage"
            if report.extent is None and not refused:
                raise Broken(f"a scan that ends at +40 eV is {_summary(report)}, not from its part")
        return _summary(short[0])

    def dark(self) -> str:
        scan = self._scan()
        whole = self._play(scan)
        channel = whole[0].channel
        role = "it" if channel == "transmission" else channel
        reports = self._play(without_numbers(scan, role))
        (spoiled,) = [report for report in reports if report.channel == channel]
        if spoiled.refusal is None and "bad_signal" not in [flag.name for flag in spoiled.flags]:
            raise Broken(f"{channel} without a number above the edge is {_summary(spoiled)}")
        self._all_answered([report for report in reports if report.channel != channel])
        return f"{channel}: {spoiled.refusal.message if spoiled.refusal else 'flagged'}"

    def _all_answered(self, reports: list[Report]) -> None:
        for report in reports:
            if report.refusal is not None:
                raise Broken(f"{report.channel} is refused: {report.refusal.message}")
            if str(report.edge) != str(SAMPLE.edge):
                raise Broken(
                    f"a scan of {SAMPLE.edge} is taken for {report.edge}",
                    "set run.element and run.edge to the start keys that name them",
                )

    def _scan(self, **settings: Any) -> Scan:
        return example_scan(f"answered {next(self._numbers)}", self._start, **settings)

    def _play(self, *scans: Scan) -> list[Report]:
        """Return the final reports of runs of one kind."""
        results: list[Report] = []
        try:
            analysis = self._load()
        except ConfigurationError as error:
            raise NotChecked("the models do not load", "see above") from error
        pipeline = build_pipeline(
            self._profile,
            lambda result: results.append(result.report),
            analysis,
            layout=self._layout,
        )
        for scan in scans:
            folder = self._folder / scan.name.replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            for name, doc in rehearse(at_home(self._played, folder), scan, folder):
                pipeline.feed(name, doc, 0.0)
        pipeline.finish()
        final = [report for report in results if report.complete]
        if not final:
            raise Broken(
                "a generated run leaves no result at all",
                "with run.others = 'skip' that is a run in which no layout finds its fields",
            )
        return final


def _summary(report: Report) -> str:
    state = report.estimate("oxidation_state")
    if state is None:
        return f"{report.channel}: refused as {report.refusal.name if report.refusal else '?'}"
    interval = f"{state.low:+.2f} to {state.high:+.2f}"
    return f"{report.channel}: {report.edge}, {state.value:+.2f} ({interval})"
