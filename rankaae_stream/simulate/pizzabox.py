"""Write fly scans as ISS and QAS record them: files, and the documents that name them.

The monochromator moves, the electrometer and the encoder write their own files,
and only then do documents come. Measured spectra are played, so that the result
can be compared with what was in the beam.
"""

import itertools
import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.files.pizzabox import APB_CHANNELS, Monochromator
from rankaae_stream.files.pizzabox_writer import APB_RATE, ENCODER_RATE, PizzaboxWriter
from rankaae_stream.files.run_writer import Documents, RunWriter
from rankaae_stream.simulate.samples import Curves
from rankaae_stream.spectrum import K_EDGES, Floats

__all__ = ["ISS", "QAS", "Detector", "FlyBeamline", "FlyScan", "fly_scan"]

REST = 0.5
"""Seconds of rest before and after the motion, in the files too."""
BEGAN = 1_750_000_000.0
"""When the first simulated scan begins, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class FlyBeamline:
    """Names and constants of one beamline, as its profile has them too.

    `inputs` names the electrometer's inputs of the signals ``i0``, ``it``, ``ir`` and
    ``iff``, where an input has another name, and of ``pips`` if there is a diode.
    `angle_key`, `offset_key` and `gain_key` are keys of the start document, ``{n}`` the
    number of an input.
    """

    name: str
    analog: str
    encoder: str
    encoder_spec: str
    experiment: str
    mono: Monochromator
    angle_offset: float = 0.684
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    angle_key: str = "angle_offset"
    offset_key: str = "ch{n}_offset"
    gain_key: str = "ch{n}_amp_gain"


_D_SPACING, _HC = 3.1356, 12398.42
ISS = FlyBeamline(
    "iss",
    "apb_stream",
    "pb9_enc1",
    "PIZZABOX_ENC_FILE_TXT_PD",
    "fly_scan",
    Monochromator(360000.0, _D_SPACING, _HC),
)
QAS = FlyBeamline(
    "qas",
    "apb_stream",
    "pb1_enc1",
    "PIZZABOX_ENC_FILE_TXT",
    "fly_energy_scan_apb",
    Monochromator(26222.222222222223, _D_SPACING, _HC),
)


@dataclass(frozen=True, slots=True)
class Detector:
    """A triggered detector of four channels.

    Attributes
    ----------
    kind : {"xs", "pil100k"}
        An Xspress3 or a Pilatus.
    rate : float
        Frames a second.
    surplus : int
        Pulses at the end for which there is no frame.
    counts : float
        In one frame, for the full edge step.
    """

    kind: str = "xs"
    rate: float = 100.0
    surplus: int = 0
    counts: float = 1e3


@dataclass(frozen=True, slots=True, eq=False)
class FlyScan:
    """One run that was played.

    Attributes
    ----------
    documents : list of (name, document)
        In the order of the beamline: the start, and after the motion all others.
    files : mapping of Path
        Where the data of each key are.
    """

    uid: str
    documents: Documents
    files: dict[str, Path] = field(default_factory=dict[str, Path])


def fly_scan(
    folder: Path,
    played: Curves,
    *,
    element: str,
    beamline: FlyBeamline = ISS,
    turns: Sequence[float] = (600.0, -200.0),
    seconds: float = 10.0,
    foil: bool = True,
    opaque: float | None = None,
    noise: float = 0.0,
    it_gain: float = 1.0,
    positive_words: bool = False,
    detector: Detector | None = None,
    streaming: bool = False,
    uid: str | None = None,
    md: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> FlyScan:
    """Write a scan's files and return its documents.

    Parameters
    ----------
    folder : Path
        The root that the documents name.
    played : Curves
        The sample and the foil in the beam.
    element : str
    beamline : FlyBeamline
    turns : sequence of float
        Where the motion begins, turns and ends, eV from the edge; two for a
        single sweep, falling by default as at the beamline.
    seconds : float
        Of one sweep; 2 in 10 of these are before the XANES and 3 in it.
    foil : bool
        Whether a foil is before the last ion chamber.
    opaque : float, optional
        Energy from the edge above which no beam passes the sample: `it` is
        only the noise of its offset.
    noise : float
        Of each row, relative.
    it_gain : float
        Amplification of `it`; the electrometer goes no further than 3.3 V.
    positive_words : bool
        Whether the encoder writes its positions as positive 24-bit words.
    detector : Detector, optional
    streaming : bool
        Whether stream_resource and stream_datum name the files.
    uid : str, optional
    md : mapping, optional
        Further keys of the start document, before these defaults.
    seed : int

    Returns
    -------
    FlyScan
    """
    uid = uid or str(uuids.uuid4())
    rng = np.random.default_rng(seed)
    e0 = K_EDGES[element]
    time, energy = _motion(e0, turns, seconds)
    duration = time[-1]

    rows = np.arange(0.0, duration, 1 / APB_RATE)
    at = np.interp(rows, time, energy)
    gains = {"i0": 4, "it": 4, "ir": 5, "iff": 6}
    offsets = {name: 2.0 + i for i, name in enumerate(APB_CHANNELS)}
    volts = _volts(at, played, rng, foil=foil, noise=noise, it_gain=it_gain)
    if opaque is not None:
        dark = at > e0 + opaque
        volts["it"][dark] = rng.normal(0.0, 1e-4, int(dark.sum()))
    if "pips" in beamline.inputs:
        volts["pips"] = 0.5 * volts["iff"]
    gains = {beamline.inputs.get(name, name): gain for name, gain in gains.items()}
    volts = {beamline.inputs.get(name, name): signal for name, signal in volts.items()}
    numbered = list(enumerate(APB_CHANNELS, start=1))
    start = {
        "experiment": beamline.experiment,
        "element": element,
        "edge": "K",
        "e0": e0,
        "name": f"{element} {uid[:8]}",
        "comment": "",
        "trajectory_filename": "simulated.txt",
        beamline.angle_key: beamline.angle_offset,
        "mono_d_spacing": 3.1354951,
        **{beamline.offset_key.format(n=i): offsets[name] for i, name in numbered},
        **{beamline.gain_key.format(n=i): gains.get(name, 0) for i, name in numbered},
        "detectors": {"APB": {"device": beamline.analog}},
        "plan_name": "fly_scan_plan",
        "scan_kind": "fly_scan",
        "scan_name": "simulated",
        "scan_group_uid": str(uuids.UUID(int=seed)),
        "sample_name": "simulated",
        "year": "2025",
        "cycle": "3",
        "proposal": "000000",
        **(md or {}),
    }

    run = RunWriter(uid, start, BEGAN, uid)
    files = PizzaboxWriter(run, folder, f"raw/{uid}")
    files.electrometer(beamline.analog, rows, volts, offsets)
    moments = np.arange(0.0, duration, 1 / ENCODER_RATE)
    counts = beamline.mono.counts(np.interp(moments, time, energy), beamline.angle_offset)
    spec = beamline.encoder_spec
    files.encoder(beamline.encoder, moments, counts, spec=spec, positive=positive_words)
    if detector is not None:
        _expose(files, detector, time, energy, played)
    files.stop(duration, streaming=streaming)
    return FlyScan(uid, run.documents, files.paths)


# ---- what happens in the beam -----------------------------------------------------------


def _motion(e0: float, turns: Sequence[float], seconds: float) -> tuple[Floats, Floats]:
    """Return the monochromator's motion: knots of time, s, and energy, eV."""
    marks = np.array([-30.0, 50.0])
    times, energies = [0.0, REST], [turns[0], turns[0]]
    for begin, end in itertools.pairwise(turns):
        low, high = sorted((begin, end))
        knots = np.array([low, *marks[(marks > low) & (marks < high)], high])
        # eV a second in the three regions of a scan over -200 ... +600 eV
        speed = np.select(
            [(knots[1:] + knots[:-1]) / 2 < mark for mark in marks],
            [170 / 2.0, 80 / 3.0],
            550 / 5.0,
        )
        steps = np.diff(knots) / speed
        steps *= seconds / steps.sum()
        if end < begin:
            knots, steps = knots[::-1], steps[::-1]
        times += list(times[-1] + np.cumsum(steps))
        energies += list(knots[1:])
    return np.array([*times, times[-1] + REST]), e0 + np.array([*energies, energies[-1]])


def _volts(
    energy: Floats,
    played: Curves,
    rng: np.random.Generator,
    *,
    foil: bool,
    noise: float,
    it_gain: float,
) -> dict[str, Floats]:
    """Return the amplifiers' output at energies (n,), V; the beam fades a little with energy."""
    mu = np.interp(energy, played.energy, played.mu)
    metal = np.interp(energy, played.foil_energy, played.foil_mu) if foil else np.zeros_like(mu)
    i0 = 1.2 - 1e-4 * (energy - energy[0])
    it = i0 * np.exp(-mu)
    volts = {
        "i0": i0,
        "it": it * it_gain,
        "ir": 3 * it * np.exp(-metal),
        "iff": 0.5 * i0 * mu,
    }
    for name, values in volts.items():
        volts[name] = values * (1 + noise * rng.standard_normal(energy.size))
    return volts


def _expose(
    files: PizzaboxWriter, detector: Detector, time: Floats, energy: Floats, played: Curves
) -> None:
    """Take frames during the motion, with a pulse each."""
    period = 1 / detector.rate
    rise = np.arange(REST / 2, time[-1] - REST / 2, period)
    fall = rise + 0.8 * period
    files.trigger(f"apb_trigger_{detector.kind}", rise, fall)
    taken = slice(0, rise.size - detector.surplus)
    # A frame counts over its whole exposure, so it is averaged over the motion.
    moments = rise[taken, None] + np.linspace(0.02, 0.98, 25) * (fall - rise)[taken, None]
    at = np.interp(moments, time, energy)
    i0 = 1.2 - 1e-4 * (at - energy[0])
    mu = np.interp(at, played.energy, played.mu)
    counts = (detector.counts * i0 * mu).mean(axis=1)
    roi = {"data_type": "roi", "roi_num": 1}
    if detector.kind == "xs":
        spec, keys = "XSP3", {f"xs_ch{n:02d}_roi01": {**roi, "channel": n} for n in range(1, 5)}
    else:
        spec, keys = "PIL100k_HDF5", {f"pil100k_roi{n}": {**roi, "roi_num": n} for n in range(1, 5)}
    files.frames(f"{detector.kind}_stream", spec, keys, [counts / n for n in range(1, 5)])
