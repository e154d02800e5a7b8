"""List the runs that a demonstration plays at each beamline, in its own documents and files.

A session is a short list of cases. It holds what happens in a real shift, as far as
the beamline's format has it: scans that come down in energy, an abort that calls
itself a success, sweeps that share a run, samples without a beam behind them or
without a foil, a chamber that saturates, a file that is late, dilute samples, and runs
that are no absorption scans.
"""

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.simulate import bmm, panda, steps, tes
from rankaae_stream.simulate.devices import Beamline
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.pizzabox import ISS, QAS, Detector, FlyBeamline, FlyScan, fly_scan
from rankaae_stream.simulate.plans import scan, scan_energies
from rankaae_stream.simulate.samples import Curves, Sample, curves, series
from rankaae_stream.spectrum import Channel

__all__ = ["SESSIONS", "Case", "scans", "session"]

POINT = {"event": 0.004}
"""A step scan: a few milliseconds a point instead of a second."""
GROWING = {"stream_datum": 0.03}
"""A fly scan whose file grows while its rows are announced."""
SILENCE = {"start": 0.7}
"""A fly scan whose documents come when the motion has ended."""
LATE = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a session.

    Attributes
    ----------
    sample, what : str
        The sample's name, and what is special about the run.
    documents : iterable of (name, document)
        May be written while they are iterated.
    pace : mapping of float
        Seconds to wait after a document, by its name.
    channel : Channel or None
        Channel whose answer is shown; None for the run's primary channel.
    about : str
        Flag whose sentence is shown.
    late : (Path, Path) or None
        A file, and the name that it gets `LATE` seconds after the stop document.
    plan : generator of messages, optional
        Run by a RunEngine, in place of `documents`.
    points : int
        Events of the run, where that is known before.
    reference : Sample or None
        What is known of the compound.
    series : str
        Name of the series that the run is a scan of.
    fault : str
        What went wrong in this scan.
    truth : float or None
        Known mean valence of a scan of a series.
    fractions : mapping of float
        Known shares of the element's atoms, by the names of compounds.
    """

    sample: str
    what: str
    documents: Iterable[tuple[str, Mapping[str, Any]]] = ()
    pace: Mapping[str, float] = field(default_factory=dict[str, float])
    channel: Channel | None = None
    about: str = ""
    late: tuple[Path, Path] | None = None
    plan: Generator[Any, Any, Any] | None = None
    points: int = 0
    reference: Sample | None = None
    series: str = ""
    fault: str = ""
    truth: float | None = None
    fractions: Mapping[str, float] = field(default_factory=dict[str, float])


def scans(samples: Iterable[Sample], *, quick: bool, dwell: float) -> list[Case]:
    """Return an ordinary step scan of each sample, to be run by a RunEngine.

    Parameters
    ----------
    samples : iterable of Sample
    quick : bool
        Half as many points.
    dwell : float
        Seconds that a point takes.
    """
    beamline = Beamline(dwell=dwell)
    return [
        Case(
            sample.name,
            f"{sample.edge} scan",
            plan=scan(beamline, sample, quick=quick),
            points=scan_energies(sample, quick=quick).size,
            reference=sample,
        )
        for sample in samples
    ]


def session(beamline: str, folder: Path) -> list[Case]:
    """Return a beamline's session, with its files written in a folder.

    Parameters
    ----------
    beamline : str
        One of `SESSIONS`.
    folder : Path
        Must exist; several sessions may share it.

    Raises
    ------
    ConfigurationError
        For a beamline without a session.
    """
    if beamline not in SESSIONS:
        raise ConfigurationError(
            f"no session of beamline {beamline!r} to play; there are {', '.join(SESSIONS)}"
        )
    return list(SESSIONS[beamline](folder))


def _iss(folder: Path) -> Iterator[Case]:
    feo, _, fe2o3 = _iron()
    yield from _pizzabox(ISS, folder)
    dilute = _flown(ISS, folder, fe2o3, dilution=0.05, noise=1e-3, detector=Detector())
    yield Case("Fe2O3", "dilute, by Xspress3 frames", dilute.documents, SILENCE, "fluorescence")
    for what, md in (
        ("emission spectrum (XES)", {"spectrometer": "von_hamos", "e0": 7058.0}),
        ("HERFD", {"spectrometer": "johann"}),
        ("exposures, no scan", {"experiment": "collect_n_exposures"}),
    ):
        other = _flown(ISS, folder, fe2o3, md=md, detector=Detector("pil100k"))
        yield Case("Fe2O3", what, other.documents, SILENCE)
    yield Case("FeO", "step scan", steps.iss_step(Beam(feo), name=_name("step")), POINT)


def _qas(folder: Path) -> Iterator[Case]:
    fe2o3 = _iron()[2]
    yield from _pizzabox(QAS, folder)
    dilute = _flown(QAS, folder, fe2o3, dilution=0.05, noise=1e-3)
    yield Case("Fe2O3", "dilute, by its fluorescence", dilute.documents, SILENCE, "fluorescence")
    other = _flown(QAS, folder, fe2o3, md={"experiment": "collect_n_exposures"})
    yield Case("Fe2O3", "exposures, no scan", other.documents, SILENCE)


def _pizzabox(beamline: FlyBeamline, folder: Path) -> Iterator[Case]:
    """Yield the cases of both beamlines with pizza boxes."""
    feo, fe3o4, fe2o3 = _iron()

    def flown(sample: Sample, what: str, **options: Any) -> Case:
        scan = _flown(beamline, folder, sample, **options)
        about = "no_foil" if options.get("foil") is False else ""
        return Case(sample.name, what, scan.documents, SILENCE, about=about)

    yield flown(fe2o3, "fly scan, falling energy")
    yield flown(fe2o3, "the same again")
    yield flown(feo, "rising energy", turns=(-200.0, 600.0))
    yield flown(fe3o4, "another sample")
    yield flown(fe2o3, 'aborted at +40 eV, "success"', turns=(-200.0, 40.0))
    ten = (200.0, -200.0) * 5 + (200.0,)
    yield flown(fe2o3, "ten sweeps in one run", turns=ten, seconds=3.0)
    yield flown(fe2o3, "no beam behind it: mu is NaN", opaque=0.0)
    yield flown(fe2o3, "no foil", foil=False)
    yield flown(fe2o3, "it saturates", it_gain=8.0)
    late = _flown(beamline, folder, fe2o3)
    path = late.files[beamline.encoder]
    hidden = path.rename(path.with_suffix(".part"))
    what = f"a file {LATE:.0f} s late"
    yield Case("Fe2O3", what, late.documents, SILENCE, late=(hidden, path))


def _bmm(_folder: Path) -> Iterator[Case]:
    feo, fe3o4, fe2o3 = _iron()
    scanned = partial(_stepped, bmm.xafs)
    yield scanned(Beam(fe2o3), "rising energy")
    yield scanned(Beam(fe2o3), "the same again, falling", falling=True)
    yield scanned(Beam(feo), "another sample")
    yield scanned(Beam(fe3o4), "events in pages", pages=True)
    yield Case("stage", "line scan, no XAS", bmm.other(name=_name("other")), POINT)
    energy, _ = bmm.bmm_energies(fe2o3.edge.e0)
    points = int(np.searchsorted(energy, fe2o3.edge.e0 + 40))
    yield scanned(Beam(fe2o3), 'ended at +40 eV, "success"', points=points)
    nan = (fe2o3.edge.e0 - 12, fe2o3.edge.e0 + 18)
    yield scanned(Beam(fe2o3, nan=nan), "it reads NaN over the edge")
    yield scanned(Beam(fe2o3, foil=False), "no foil")
    dilute = Beam(fe2o3, dilution=0.01, noise=1e-3)
    yield scanned(dilute, "dilute, by its fluorescence", mode="fluorescence")


def _tes(_folder: Path) -> Iterator[Case]:
    v2o3, vo2, v2o5 = series("V")

    def flown(beam: Beam, what: str, **options: Any) -> Case:
        documents = tes.fly(beam, name=_name(what), **options)
        return Case(beam.sample.name, what, documents, {"event": 0.3})

    yield flown(Beam(v2o3), "three scans in one run", scans=3)
    yield flown(Beam(v2o3), "the same again, falling", scans=3, falling=True)
    yield flown(Beam(vo2), "ten scans in one run", scans=10)
    yield flown(Beam(v2o5), "scans in one page", scans=3, pages=True)
    yield Case("stage", "line scan, no XAS", bmm.other(name=_name("other")), POINT)
    beyond = int(np.searchsorted(tes.pixel_energies(v2o5.edge.e0), v2o5.edge.e0 + 40))
    yield flown(Beam(v2o5), 'ended at +40 eV, "success"', last=beyond)
    yield flown(Beam(vo2, noise=1e-3), "noise of 0.1 %")


def _generic(folder: Path) -> Iterator[Case]:
    feo, fe3o4, fe2o3 = _iron()
    scanned = partial(_stepped, steps.ophyd_step)
    yield scanned(Beam(fe2o3), "ophyd, no metadata at all")
    yield scanned(Beam(fe2o3), "the same again, in keV", kev=True)
    hyphens = steps.ophyd_async_step(Beam(feo), name=_name("async"), falling=True, element="Fe")
    yield Case("FeO", "ophyd-async, falling energy", hyphens, POINT)
    documents = steps.ophyd_step(
        Beam(fe3o4), name=_name("ten"), repeats=10, back_and_forth=True, element="Fe"
    )
    yield Case("Fe3O4", "ten sweeps in one run", documents, {"event": 0.001})
    energies = steps.over_the_edge(fe2o3)
    points = int(np.searchsorted(energies, fe2o3.edge.e0 + 40))
    yield scanned(Beam(fe2o3), 'ended at +40 eV, "success"', points=points, element="Fe")
    nan = (fe2o3.edge.e0 - 12, fe2o3.edge.e0 + 18)
    yield scanned(Beam(fe2o3, nan=nan), "it reads NaN over the edge", "transmission")
    yield scanned(Beam(fe2o3, foil=False), "no foil")
    dilute = Beam(fe2o3, dilution=0.01, noise=1e-3)
    yield scanned(dilute, "dilute, by its fluorescence", "fluorescence")
    yield Case("stage", "line scan, no XAS", bmm.other(name=_name("other")), POINT)
    growing = panda.fly(Beam(fe2o3), folder, name=_name("fly"))
    yield Case("Fe2O3", "ophyd-async fly scan, growing", growing, GROWING)
    name = _name("late")
    late = list(panda.fly(Beam(feo), folder, name=name))
    path = folder / f"{name}.h5"
    hidden = path.rename(path.with_suffix(".part"))
    what = f"fly scan, its file {LATE:.0f} s late"
    yield Case("FeO", what, late, SILENCE, late=(hidden, path))


SESSIONS: Mapping[str, Callable[[Path], Iterator[Case]]] = {
    "iss": _iss,
    "qas": _qas,
    "bmm": _bmm,
    "tes": _tes,
    "generic": _generic,
}
"""By the shipped profile's name."""


def _iron() -> tuple[Sample, Sample, Sample]:
    feo, fe3o4, fe2o3 = series("Fe")[:3]
    return feo, fe3o4, fe2o3


def _stepped(
    scan: Callable[..., Documents],
    beam: Beam,
    what: str,
    channel: Channel | None = None,
    **options: Any,
) -> Case:
    """Return a case of a step scan, one event a point."""
    about = "" if beam.foil else "no_foil"
    documents = scan(beam, name=_name(what), **options)
    return Case(beam.sample.name, what, documents, POINT, channel, about)


def _flown(
    beamline: FlyBeamline, folder: Path, sample: Sample, *, dilution: float = 1.0, **options: Any
) -> FlyScan:
    """Write a fly scan; a dilute sample has a small step on the same matrix."""
    played = curves(sample)
    thin: Curves = replace(played, mu=0.4 + dilution * (played.mu - 0.4))
    md = {"sample_name": sample.name, **options.pop("md", {})}
    uid = str(uuid.uuid4())
    return fly_scan(
        folder, thin, element=sample.element, beamline=beamline, uid=uid, md=md, **options
    )


def _name(what: str) -> str:
    """Return a new name: a run's uid and file follow from it."""
    return f"{what.replace(' ', '-')}-{uuid.uuid4()}"
