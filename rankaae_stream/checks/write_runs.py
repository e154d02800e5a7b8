"""A scan as the documents and files of one kind of layout, by the field names that it has."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.layouts.base import Document, Scan
from rankaae_stream.layouts.fly import FlyLayout
from rankaae_stream.layouts.pizzabox import PizzaboxLayout
from rankaae_stream.layouts.step import StepLayout
from rankaae_stream.layouts.tes import TesLayout
from rankaae_stream.simulate.documents import RunWriter, number
from rankaae_stream.simulate.panda import fly_columns
from rankaae_stream.simulate.pizzabox import Detector, FlyBeamline, fly_scan
from rankaae_stream.simulate.samples import Curves, series
from rankaae_stream.spectrum import Floats, Limits

__all__ = [
    "SAMPLE",
    "Documents",
    "example",
    "fly_run",
    "pizzabox_run",
    "put",
    "step_run",
    "tes_run",
]

Documents = list[tuple[str, Document]]

SAMPLE = next(sample for sample in series("Fe") if sample.name == "Fe2O3")
"""What is played, with the foil of its session."""
SECONDS = 3.0
"""Of one sweep of a fly scan: enough rows for every bin of the edge."""


def step_run(layout: StepLayout, scan: Scan) -> Documents:
    """One event a point, and the configuration that holds the offsets."""
    start, fields = dict(scan.start), _named(layout, scan)
    axis = layout.energy[0] if layout.energy else "energy"
    start["hints"] = {"dimensions": [[[axis], layout.stream]]}
    sums = _sums(layout, start)
    if sums and "fluorescence" in scan.signals:
        fields["fluorescence"] = sums
    dwell = layout.dwell[0] if layout.dwell else None
    passes = _passes(scan)
    exposure = np.linspace(0.5, 2.0, scan.energy.size)[passes]
    columns = {axis: scan.energy[passes]}
    configured: dict[str, float] = {}
    for role, names in fields.items():
        signal = _within(layout.limits, role, scan.signals[role])[passes]
        if dwell is not None and role in layout.integrated:
            signal = signal * exposure
        for name in names:
            columns[name] = signal / len(names)
            if name in layout.offsets:
                configured[layout.offsets[name]] = 2.0
                columns[name] = columns[name] + 2.0
    if dwell is not None:
        columns[dwell] = exposure
    run = RunWriter(f"check/{scan.name}", start)
    keys = {name: {**number("eV" if name == axis else ""), "object_name": "x"} for name in columns}
    device = {
        "data": configured,
        "timestamps": dict.fromkeys(configured, 1.75e9),
        "data_keys": {key: number() for key in configured},
    }
    run.stream(layout.stream, keys, {"x": device})
    for i in range(passes.size):
        run.event(layout.stream, {name: float(column[i]) for name, column in columns.items()})
    run.stop()
    return run.documents


def tes_run(layout: TesLayout, scan: Scan) -> Documents:
    """One event a sweep, all in one direction, after one with their energies."""
    run, size = RunWriter(f"check/{scan.name}", scan.start), scan.energy.size
    axis = layout.energy[0]
    run.stream(layout.energy_stream, {axis: _array(size)})
    run.event(layout.energy_stream, {axis: scan.energy.tolist()})
    columns: dict[str, Any] = {}
    for role, (name, *_) in _named(layout, scan).items():
        signal = _within(layout.limits, role, scan.signals[role])
        columns[name] = signal.tolist()
        if role == "fluorescence":  # of a detector with two channels, which are summed
            columns[name] = np.column_stack([0.6 * signal, 0.4 * signal]).tolist()
    run.stream(layout.stream, {name: _array(*np.shape(values)) for name, values in columns.items()})
    for _ in range(scan.sweeps):
        run.event(layout.stream, columns, 30.0)
    run.stop()
    return run.documents


def fly_run(layout: FlyLayout, scan: Scan, folder: Path) -> Documents:
    """Stream documents, and an HDF5 file with a data set a field."""
    fields = _named(layout, scan)
    sums = _examples(layout.fluorescence)
    if sums and "fluorescence" in scan.signals:
        fields["fluorescence"] = sums
    passes = _passes(scan)
    columns = {layout.energy[0] if layout.energy else "energy": scan.energy[passes]}
    for role, names in fields.items():
        signal = _within(layout.limits, role, scan.signals[role])[passes]
        columns |= dict.fromkeys(names, signal / len(names))
    run = RunWriter(f"check/{scan.name}", scan.start)
    path = folder / f"{scan.name}.h5"
    return list(fly_columns(run, columns, path, stream=layout.stream, every=50))


def pizzabox_run(layout: PizzaboxLayout, scan: Scan, folder: Path) -> Documents:
    """Files of electrometer and encoder, and of a triggered detector where the layout has one."""
    simulated = {"i0": "i0", "it": "it", "ir": "ir", "fluorescence": "iff", "pips": "pips"}
    mono = layout.mono
    beamline = FlyBeamline(
        "check",
        layout.analog[0],
        layout.encoder[0],
        "PIZZABOX_ENC_FILE_TXT",
        "check",
        mono.pulses_per_degree,
        0.684,
        mono.d_spacing,
        mono.hc,
        {simulated[role]: name for role, name in layout.inputs.items()},
        layout.angle_offset,
        layout.offset or "unused_offset_{n}",
        layout.gain or "unused_gain_{n}",
    )
    e0 = SAMPLE.edge.e0
    up = np.argsort(scan.energy)
    energy, signals = scan.energy[up], {role: values[up] for role, values in scan.signals.items()}
    i0 = signals.get("i0", np.ones(energy.size))
    mu, foil = np.log(i0 / signals["it"]), np.log(signals["it"] / signals["ir"])
    seen, emitted = np.isfinite(mu), signals["fluorescence"] / i0
    dark = energy[~seen]
    # Where no beam is to pass, the sample still glows.
    mu = np.where(seen, mu, np.polyval(np.polyfit(emitted[seen], mu[seen], 1), emitted))
    ends = (scan.energy[0] - e0, scan.energy[-1] - e0)
    frames = layout.frames[0] if layout.frames else None
    written = fly_scan(
        folder,
        Curves(energy, mu, energy, np.nan_to_num(foil)),
        element=SAMPLE.element,
        beamline=beamline,
        turns=[ends[i % 2] for i in range(scan.sweeps + 1)],
        seconds=SECONDS,
        opaque=float(dark[0] - e0) if dark.size else None,
        detector=Detector() if frames else None,
        uid=scan.name,
        md={"e0": e0, **scan.start},
    )
    documents: Documents = list(written.documents)
    if frames:
        channels = [f"xs_ch{i:02d}_roi01" for i in range(1, 5)]
        names = dict(zip(channels, frames.keys, strict=False))
        names["apb_trigger_xs"] = frames.trigger
        documents = [(name, _renamed(doc, names)) for name, doc in documents]
    if "i0" not in scan.signals:
        documents = [item for item in documents if not _of_stream(item[1], layout.analog[0])]
    return documents


def example(pattern: str, wild: str = "") -> str:
    """A text that fits a pattern, `wild` where that says ``*``.

    Examples
    --------
    >>> example("scan_nd xafs*"), example("xs_channel*_roi0[12]", "3"), example("?*")
    ('scan_nd xafs', 'xs_channel3_roi01', 'x')
    """
    pattern = re.sub(r"\[([^!\]])[^\]]*\]", r"\1", pattern)
    return pattern.replace("*", wild).replace("?", wild or "x")


def _named(layout: Any, scan: Scan) -> dict[str, tuple[str, ...]]:
    """The first name of each role that the layout has and the scan holds."""
    roles = [role for role in ("i0", "it", "ir", "pips") if getattr(layout, role)]
    if isinstance(layout, TesLayout) and layout.fluorescence:
        roles.append("fluorescence")
    return {role: (getattr(layout, role)[0],) for role in roles if role in scan.signals}


def _sums(layout: StepLayout, start: dict[str, Any]) -> tuple[str, ...]:
    """Fields of the fluorescence; where the start document lists them it is made to."""
    if layout.fluorescence_from:
        names = ("fluorescence_1", "fluorescence_2")
        put(start, layout.fluorescence_from[0], list(names))
        return names
    lists = [[name] if isinstance(name, str) else name for name in layout.fluorescence]
    if lists and all(isinstance(name, str) for name in layout.fluorescence):
        lists = [[str(name) for name in layout.fluorescence]]
    return _examples(lists[0]) if lists else ()


def _examples(patterns: Sequence[str]) -> tuple[str, ...]:
    """Fields that fit: two for a pattern."""
    names = [example(one, wild) for one in patterns for wild in ("1", "2")]
    return tuple(dict.fromkeys(names))


def _within(limits: Mapping[str, Limits], role: str, signal: Floats) -> Floats:
    """A signal that a detector can read: its height says nothing, only its shape."""
    known = limits.get(role)
    if known is None or not np.isfinite(known.high):
        return signal * (2 * known.low / np.nanmin(signal)) if known and known.low else signal
    return signal * (0.9 * known.high / np.nanmax(signal))


def _passes(scan: Scan) -> np.ndarray:
    """Points in the order of the motion, there and back."""
    once = np.arange(scan.energy.size)
    return np.concatenate([once[::-1] if i % 2 else once for i in range(scan.sweeps)])


def put(start: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of a start document."""
    *tables, last = key.split(".")
    for name in tables:
        start[name] = dict(start.get(name) or {})
        start = start[name]
    start[last] = value


def _array(*shape: int) -> dict[str, Any]:
    return {"source": "PV:simulated", "dtype": "array", "shape": list(shape)}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A document with its data keys under other names."""
    if isinstance(value, Mapping):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


def _of_stream(doc: Document, stream: str) -> bool:
    """Whether a document of a fly scan belongs to a stream."""
    parents = [doc.get(key) for key in ("descriptor", "resource", "uid")]
    ends = (f"-{stream}", f"-{stream}-file")
    return doc.get("name") == stream or any(str(one).endswith(ends) for one in parents)
