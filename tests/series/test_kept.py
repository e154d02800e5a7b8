"""A process that dies leaves the scans of its open series to the next one, which goes on."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.documents.together import SeriesRules
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Result
from rankaae_stream.results.compose_series import compose_series
from rankaae_stream.series import kept as module
from rankaae_stream.series.kept import KeptScans
from rankaae_stream.series.lines import to_line, to_result
from rankaae_stream.series.live import LiveSeries

SPECTRA = resources.folder("profiles/spectra/Fe")


@pytest.fixture(scope="module")
def scans():
    """Four noisy scans of hematite with a foil's shift, a minute each."""
    scan = read_spectrum(SPECTRA / "Fe2O3_rt_01.xdi")
    rng = np.random.default_rng(0)
    found = []
    for i in range(4):
        mu = scan.mu + 0.002 * rng.normal(size=scan.mu.size)
        report = replace(infer(scan.energy, mu, "Fe"), source=f"raw-{i}", sweep=i)
        start = {"uid": f"raw-{i}", "time": 60.0 * i, "sample_name": "a", "T": np.float64(300 + i)}
        found.append(Result(report, f"{i:08x}-1111-5111-8111-111111111111", start, 60.0 * i + 30))
    return found


class Process(list):
    """Series of a process; what they show is in the list."""

    def __init__(self, folder, settings="s", gap=2.0):
        super().__init__()
        kept = KeptScans(folder, settings, gap)
        self.live = LiveSeries(SeriesRules(gap=gap), default_analysis(), self.append, kept)
        self.now = 0.0

    def take(self, *results):
        for one in results:
            self.live.take(one)
        self.now += 1e6
        self.live.tick(self.now)
        return self

    def die(self):
        self.live.close()  # the lock is free, and nothing was ended

    def shown(self):
        return [([one.uid for one in found.results], found.complete) for found in self]


@pytest.fixture
def process():
    made = []

    def start(*settings, **more):
        made.append(Process(*settings, **more))
        return made[-1]

    yield start
    for one in made:
        one.die()


def files(folder):
    return sorted(folder.glob("*/*.scans"))


def uids(scans):
    return [one.uid for one in scans]


def test_a_scan_is_the_same_to_the_last_bit_in_a_line_and_back(scans):
    found = to_result("s", to_line("s", scans[0]))
    assert to_line("s", found) == to_line("s", scans[0]), "nothing is lost, also none of NaN"
    for name in ("energy", "flat", "reconstruction"):
        mine, its = (getattr(one.report.curves, name) for one in (scans[0], found))
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(scans[0].report.measured.mu, found.report.measured.mu)
    assert found.report.estimates == scans[0].report.estimates
    assert found.report.shifts == scans[0].report.shifts
    assert (found.uid, found.time, found.start) == (scans[0].uid, scans[0].time, scans[0].start)


def test_the_next_process_shows_one_series_with_the_earlier_scans(scans, process, tmp_path):
    first = process(tmp_path).take(*scans[:3])
    first.die()
    second = process(tmp_path).take(scans[2], scans[3])  # the third is answered once more
    assert second.shown() == [(uids(scans), False)]
    assert second[0].uid == first[0].uid
    second.live.finish()
    alone = process(tmp_path / "other").take(*scans)
    alone.live.finish()
    rules = SeriesRules(against=("T",))
    mine, whole = (compose_series(one[-1], {}, (), rules) for one in (second, alone))
    assert [row["T"] for row in mine.stop["summary"]["spectra"]] == [300.0, 301.0, 302.0, 303.0]
    assert mine.stop == whole.stop
    assert mine.start == whole.start


def test_a_third_process_goes_on_with_what_the_second_took_from_the_first(scans, process, tmp_path):
    for one in scans[:3]:
        process(tmp_path).take(one).die()
    assert len(files(tmp_path)) == 1
    assert process(tmp_path).take(scans[3]).shown() == [(uids(scans), False)]


def test_a_series_that_ended_is_not_kept(scans, process, tmp_path):
    first = process(tmp_path).take(*scans[:2])
    assert len(files(tmp_path)) == 1
    first.live.finish()
    first.die()
    assert list(tmp_path.iterdir()) == []
    assert process(tmp_path).take(*scans[2:]).shown() == [(uids(scans[2:]), False)]


def test_what_a_process_that_lives_keeps_is_its_own(scans, process, tmp_path):
    first = process(tmp_path).take(*scans[:2])
    second = process(tmp_path).take(*scans[2:])
    assert second.shown() == [(uids(scans[2:]), False)]
    first.die()
    second.die()
    assert process(tmp_path).take().shown() == [(uids(scans), False)], "of one sample, it is one"


def test_a_changed_profile_or_model_begins_anew(scans, process, tmp_path, caplog):
    process(tmp_path, "one").take(*scans[:2]).die()
    assert process(tmp_path, "two").take(*scans[2:]).shown() == [(uids(scans[2:]), False)]
    assert "a series of 2 scans begins anew: the profile or a model has changed" in caplog.text


def test_a_series_that_was_silent_for_long_is_dropped(scans, process, tmp_path):
    process(tmp_path, gap=1.0).take(*scans[:2]).die()
    (path,) = files(tmp_path)
    os.utime(path, (0, path.stat().st_mtime - 3600.0 * (module.LATE + 1.0)))
    assert process(tmp_path, gap=1.0).take().shown() == []


def test_damaged_and_foreign_files_are_named_and_left_out(scans, process, tmp_path, caplog):
    process(tmp_path).take(*scans[:3]).die()
    (path,) = files(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"A", b"B", 1)
    lines[2] = lines[2][:-100]
    path.write_bytes(b"".join(lines))
    for name, text in {"x": b"\xff\n" * 3, "y": to_line("s", scans[3])[:33] + b"[[1]]"}.items():
        (path.parent / f"{name}.scans").write_bytes(text)
    (path.parent / "z.scans").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    second = process(tmp_path).take(scans[3])
    assert second.shown() == [([scans[1].uid, scans[3].uid], False)]
    assert f"2 scans in {path} cannot be read" in caplog.text
    for name in ("x.scans", "y.scans", "z.scans", "notes.txt"):
        assert name in caplog.text
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("wrong", [{"time": "x"}, {"report": {}}, {"start": "[]"}, {"uid": 3}])
def test_a_line_of_another_type_is_refused(scans, wrong, monkeypatch):
    monkeypatch.setattr("rankaae_stream.series.lines._digest", lambda _: b"digest")
    kept = json.loads(to_line("s", scans[0]).partition(b" ")[2])
    line = b"digest " + json.dumps({**kept, **wrong}).encode()
    with pytest.raises((ValueError, TypeError, LookupError)):
        to_result("s", line)


def test_series_that_end_a_process_are_not_tried_again(scans, process, tmp_path, caplog):
    process(tmp_path).take(*scans[:2]).die()
    second = KeptScans(tmp_path, "s", 2.0)
    for one in second.earlier():
        second.add("series", one)
    second._lock.close()  # killed before it has shown them
    assert process(tmp_path).take(*scans[2:]).shown() == [(uids(scans[2:]), False)]
    assert "has ended at once" in caplog.text


def test_files_are_bounded_and_the_series_silent_longest_gives_way(scans, tmp_path, monkeypatch):
    size = len(to_line("s", scans[0]))
    monkeypatch.setattr(module, "MOST_BYTES", 3 * size + size // 2)
    kept = KeptScans(tmp_path, "s", 2.0)
    kept.add("old", scans[0])
    for one in scans[:3]:
        kept.add("new", one)
    assert [path.stem for path in files(tmp_path)] == ["new"]
    kept.add("old", scans[1])
    assert len(files(tmp_path)) == 1, "a series with a gap would be another one"
    kept.add("new", scans[3])
    assert files(tmp_path) == []
    kept.close()


@pytest.mark.skipif(os.name != "posix", reason="rights of files are others on Windows")
def test_nobody_else_can_read_or_plant_them_and_a_failing_disk_harms_nothing(
    scans, process, tmp_path, caplog
):
    first = process(tmp_path).take(*scans[:2])
    (path,) = files(tmp_path)
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
    path.unlink()
    path.mkdir()
    first.take(scans[2])
    assert "a series would begin anew in another process" in caplog.text
    assert first.shown()[-1] == (uids(scans[:3]), False)
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="others may write into it"):
        KeptScans(tmp_path, "s", 2.0)
