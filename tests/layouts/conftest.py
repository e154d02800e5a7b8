"""Beamlines to play: scans, and pipelines that read them."""

from contextlib import suppress

import pytest

from rankaae_stream.analysis import Analysis
from rankaae_stream.errors import Refused
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile
from rankaae_stream.simulate.pizzabox import fly_scan
from rankaae_stream.simulate.samples import curves, series


@pytest.fixture(scope="module")
def iron():
    """Fe2O3 and its foil in the beam."""
    return curves(next(sample for sample in series("Fe") if sample.name == "Fe2O3"))


@pytest.fixture
def station(open_pipeline, tmp_path, reading_under):
    """A function that opens a pipeline for a profile; it reads under ``data`` only."""
    (tmp_path / "data").mkdir()
    return lambda name="iss", **layout: open_pipeline(
        reading_under(name, tmp_path / "data", **layout)
    )


@pytest.fixture
def play(tmp_path):
    """A function that writes a scan's files under ``data``."""

    def write(played, element="Fe", **options):
        return fly_scan(tmp_path / "data", played, element=element, **options)

    return write


class Watched(Analysis):
    """An analysis that keeps the spectra it was given."""

    def answer(self, asked):
        for each in asked:
            with suppress(Refused):
                one = each.read()
                self.seen.append((one.spectrum, one.reference))
        return super().answer(asked)


@pytest.fixture
def answer(analysis, tmp_path):
    """Feed documents to a profile's pipeline; final results, and the spectra behind them."""

    def through(profile, *runs, seconds=0.0):
        if "\n" in profile:
            path = tmp_path / "profile.toml"
            path.write_text(profile)
            profile = path
        watched = Watched(analysis.models, analysis.foils, "test")
        watched.seen, results, now = [], [], 0.0
        pipeline = build_pipeline(load_profile(profile), results.append, watched)
        for documents in runs:
            for name, doc in documents:
                pipeline.feed(name, doc, now)
                now += seconds
        pipeline.finish()
        through.provisional = [r for r in results if not r.report.complete]
        final = [r for r in results if r.report.complete]
        spectra = {
            (s.origin.source, s.origin.channel, s.origin.sweep): (s, foil)
            for s, foil in watched.seen
            if s.origin.complete
        }
        return final, spectra

    return through
