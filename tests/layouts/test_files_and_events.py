"""Points that are in files, in events, or in both, as ophyd-async and others announce them."""

import itertools
import random

import event_model
import h5py
import numpy as np
import pytest
from played import FLY

from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import load_profile

NUMBER = itertools.count()
POINTS = 220


@pytest.fixture(scope="module")
def columns(hematite):
    names = ("energy", "i0", "it", "ir")
    return dict(zip(names, (column[:POINTS] for column in hematite), strict=True))


def answering(analysis, folder):
    """A function that answers documents of files in a folder as they come, once each."""
    path = folder / "profile.toml"
    path.write_text(FLY.format(root=folder))
    profile = load_profile(path)

    def answer(documents):
        results = []
        pipeline = build_pipeline(profile, results.append, analysis, provisional=False)
        for name, doc in documents:
            pipeline.feed(name, doc, 0.0)
        pipeline.tick(profile.file_deadline + 1.0)
        assert pipeline.open_runs == 0
        return [result.report for result in results]

    return answer


@pytest.fixture
def finals(analysis, tmp_path):
    return answering(analysis, tmp_path)


@pytest.fixture(scope="module")
def plain(analysis, columns, tmp_path_factory):
    """The answer where all is in one file and comes in order."""
    folder = tmp_path_factory.mktemp("plain")
    (report,) = answering(analysis, folder)(in_order(*run(folder, columns)))
    return report


def run(folder, columns, *, files=1, internal=(), every=55, shape=(1,), units="eV", anew=False):
    """Start, descriptor, (resources, datums), events and stop of a run, the rows in files."""
    made = event_model.compose_run(metadata={"element": "Fe"})
    keys = {}
    for name in columns:
        place = {"shape": []} if name in internal else {"shape": shape, "external": "STREAM:"}
        keys[name] = {"source": "x", "dtype": "number", **place}
        if shape == "missing":
            del keys[name]["shape"]
    keys["energy"]["units"] = units
    stream = made.compose_descriptor(name="primary", data_keys=keys, validate=False)
    uid, count = stream.descriptor_doc["uid"], len(columns["energy"])
    resources, datums = [], []
    ends = np.linspace(0, count, files + 1).astype(int)
    for begin, end in itertools.pairwise(ends):
        path = folder / f"{next(NUMBER)}.h5"
        with h5py.File(path, "w") as file:
            for name in columns.keys() - set(internal):
                file[f"entry/{name}"] = columns[name][begin:end]
        for name in columns.keys() - set(internal):
            resource = f"{path.stem}-{name}"
            resources.append(
                {
                    "uid": resource,
                    "run_start": made.start_doc["uid"],
                    "data_key": name,
                    "mimetype": "application/x-hdf5",
                    "uri": f"file://localhost{path}",
                    "parameters": {"dataset": f"/entry/{name}"},
                }
            )
            for first in range(begin, end, every):
                last, off = min(first + every, end), begin if anew else 0
                datums.append(
                    {
                        "uid": f"{resource}/{first}",
                        "stream_resource": resource,
                        "descriptor": uid,
                        "indices": {"start": int(first - off), "stop": int(last - off)},
                        "seq_nums": {"start": int(first + 1), "stop": int(last + 1)},
                    }
                )
    events = [
        stream.compose_event(
            data={name: float(columns[name][i]) for name in internal},
            timestamps=dict.fromkeys(internal, 1.0),
            validate=False,
        )
        for i in range(count if internal else 0)
    ]
    return (
        ("start", made.start_doc),
        ("descriptor", stream.descriptor_doc),
        [("stream_resource", doc) for doc in resources],
        [("stream_datum", doc) for doc in datums],
        [("event", doc) for doc in events],
        ("stop", made.compose_stop()),
    )


def in_order(start, descriptor, resources, datums, events, stop):
    return [start, descriptor, *resources, *datums, *events, stop]


def datums_first(start, descriptor, resources, datums, events, stop):
    return [start, descriptor, *events, *datums, *resources, stop]


def in_any_order(start, descriptor, *lists_and_stop):
    *lists, stop = lists_and_stop
    body = [item for items in lists for item in items]
    return [start, descriptor, *random.Random(1).sample(body, len(body)), stop]


def twice(start, descriptor, resources, datums, events, stop):
    once = [*resources, *datums, *events]
    return [start, descriptor, *once, descriptor, *once[3:], stop]


def stop_before_the_last(start, descriptor, resources, datums, events, stop):
    numbered = (stop[0], {**stop[1], "num_events": {"primary": POINTS}})
    return [start, descriptor, *resources, *datums[:-1], *events[:-5], numbered, *events[-5:],
            datums[-1]]  # fmt: skip


KINDS = {
    "all in files": {},
    "energy in events": {"internal": ("energy",)},
    "currents in events": {"internal": ("i0", "it", "ir")},
    "several files": {"files": 3},
    "several files, indices anew": {"files": 3, "anew": True},
    "several files and events": {"files": 2, "internal": ("energy",)},
    "shape null": {"shape": [None]},
    "shape zero": {"shape": [0]},
    "no shape": {"shape": "missing"},
}


@pytest.mark.parametrize(
    "deliver", [in_order, datums_first, in_any_order, twice, stop_before_the_last]
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_same_wherever_the_points_are(
    finals, plain, tmp_path, columns, kind, deliver
):
    (found,) = finals(deliver(*run(tmp_path, columns, **KINDS[kind])))
    assert (plain.refusal, found.refusal) == (None, None)
    assert [flag.name for flag in found.flags] == [flag.name for flag in plain.flags]
    assert found.latent == pytest.approx(plain.latent, rel=1e-9)


def older(doc, folder):
    path = doc["uri"].removeprefix(f"file://localhost{folder}/")
    kwargs = {"path": doc["parameters"]["dataset"]}
    kept = {key: doc[key] for key in ("uid", "run_start", "data_key")}
    old = {"spec": "AD_HDF5_SWMR_STREAM", "root": str(folder), "resource_path": path}
    return {**kept, **old, "path_semantics": "posix", "resource_kwargs": kwargs}


def with_path(doc, folder):
    del folder
    return {**doc, "parameters": {"path": doc["parameters"]["dataset"]}}


@pytest.mark.parametrize("change", [older, with_path])
def test_a_file_is_named_in_either_schema(finals, tmp_path, columns, change):
    start, descriptor, resources, *rest = run(tmp_path, columns)
    changed = [(name, change(doc, tmp_path)) for name, doc in resources]
    (report,) = finals(in_order(start, descriptor, changed, *rest))
    assert report.refusal is None


@pytest.mark.parametrize("internal", [(), ("energy",)], ids=["files", "events"])
@pytest.mark.parametrize(("units", "said"), [("keV", False), ("", True), (None, True)])
def test_keV_are_read_as_such(finals, plain, tmp_path, columns, units, said, internal):  # noqa: N802
    kev = {**columns, "energy": columns["energy"] / 1000.0}
    (found,) = finals(in_order(*run(tmp_path, kev, units=units, internal=internal)))
    assert found.refusal is None
    assert ("unit_deduced" in {flag.name for flag in found.flags}) is said
    state = plain.estimate("oxidation_state")
    assert found.estimate("oxidation_state").value == pytest.approx(state.value, abs=1e-6)


def test_a_point_that_was_measured_again_has_its_later_row(finals, plain, tmp_path, columns):
    """After a pause the numbers go back to the checkpoint, and the file goes on."""
    rows = [*range(100), *range(60, POINTS)]
    longer = {name: values[rows] for name, values in columns.items()}
    longer["it"][60:100] = 0.0  # the beam was lost
    start, descriptor, resources, datums, events, stop = run(tmp_path, longer, every=20)
    again = [
        (name, {**doc, "seq_nums": {k: n - 40 for k, n in doc["seq_nums"].items()}})
        if doc["indices"]["start"] >= 100
        else (name, doc)
        for name, doc in datums
    ]
    (found,) = finals(in_order(start, descriptor, resources, again, events, stop))
    assert found.refusal is None
    assert found.points == plain.points
    assert found.latent == pytest.approx(plain.latent, rel=1e-9)


def test_rows_that_were_never_announced_are_said(finals, tmp_path, columns):
    start, descriptor, resources, datums, events, stop = run(tmp_path, columns, every=1)
    kept = [datum for datum in datums if datum[1]["indices"]["start"] != 40]
    (report,) = finals(in_order(start, descriptor, resources, kept, events, stop))
    assert report.refusal is None
    assert "events_missing" in {flag.name for flag in report.flags}
    assert report.points == POINTS - 1


def test_unequal_rows_of_an_event_are_refused(finals, tmp_path, columns):
    start, descriptor, *rest = run(tmp_path, columns, internal=("energy",), shape=[5])
    (report,) = finals(in_order(start, descriptor, *rest))
    assert report.refusal.name == "missing_fields"
    assert "unequal rows" in report.refusal.message


def test_a_motor_of_any_name_is_the_energy_if_the_scan_moves_it(finals, plain, tmp_path, columns):
    start, *rest = in_order(*run(tmp_path, columns, internal=("energy",)))

    def renamed(doc):
        fields = {key: doc[key] for key in ("data", "data_keys") if key in doc}
        return {**doc, **{key: {"braggy" if name == "energy" else name: value
                                for name, value in held.items()}
                          for key, held in fields.items()}}  # fmt: skip

    moved = (start[0], {**start[1], "hints": {"dimensions": [[["braggy"], "primary"]]}})
    (found,) = finals([moved, *((name, renamed(doc)) for name, doc in rest)])
    assert found.latent == pytest.approx(plain.latent, rel=1e-9)


@pytest.mark.parametrize("internal", [("energy", "i0", "it", "ir"), ("energy",), ()])
def test_after_a_gap_points_are_read_as_they_come_once_it_is_told_that_they_were_dropped(
    tmp_path, columns, internal
):
    path = tmp_path / "profile.toml"
    path.write_text(FLY.format(root=tmp_path))
    reader = load_profile(path).build_layout().open({"uid": "x"})
    docs = in_order(*run(tmp_path, columns, internal=internal, every=10))
    gap = range(51, 91)
    read = []
    for name, doc in docs:
        number = doc["seq_nums"]["start"] if "seq_nums" in doc else doc.get("seq_num")
        if number in gap:
            reader.skip_gaps()
            continue
        points = reader.feed(name, doc) if name != "start" else None
        read += points.events.seq if points is not None else ()
    assert sorted(read) == [n for n in range(1, POINTS + 1) if n not in gap]
