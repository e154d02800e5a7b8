"""Write BMM's step scans: metadata nested under XDI, currents in nA s, and a baseline stream.

All ion chambers are integrated over the point's dwell time, and so are the
detector's counts; the dwell grows towards the end of the scan.
"""

import numpy as np

from rankaae_stream.files.run_writer import Documents, RunWriter, number
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.spectrum import Floats

__all__ = ["bmm_energies", "other", "xafs"]

POINTS = 347
K2_TO_EV = 3.8099820
"""hbar^2 / 2 m, eV Å^2."""


def bmm_energies(e0: float) -> tuple[Floats, Floats]:
    """Return energies, eV, and dwell times, s, of the beamline's usual scan, each (347,)."""
    k = np.sqrt(15.5 / K2_TO_EV)
    relative = np.concatenate(
        [np.arange(-200, -30, 10.0), np.arange(-30, -10, 2.0), np.arange(-10, 15.5, 0.3)]
    )
    wave = k + 0.05 * np.arange(POINTS - relative.size)
    energy = e0 + np.concatenate([relative, K2_TO_EV * wave**2])
    return energy, np.concatenate([np.full(relative.size, 0.5), 0.25 * wave])


def xafs(
    beam: Beam,
    *,
    name: str = "xafs",
    mode: str = "transmission",
    falling: bool = False,
    points: int = POINTS,
    stop: str | None = "success",
    pages: bool = False,
    as_read_back: bool = False,
) -> Documents:
    """Write one scan.

    Parameters
    ----------
    beam : Beam
    name : str
        Of the run.
    mode : str
        What the user measured: ``transmission``, ``fluorescence``, ``both``.
    falling : bool
        As every second scan of a series that is measured in both directions.
    points : int
        Measured until the scan ended.
    stop : str or None
        Exit status; None where the stop document never came.
    pages : bool
        Events as one page.
    as_read_back : bool
        Metadata as a server returns them: lists where there were tuples.
    """
    sample = beam.sample
    energy, dwell = bmm_energies(sample.edge.e0)
    if falling:
        energy, dwell = energy[::-1], dwell[::-1]
    detector = tuple(f"{sample.element}{i}" for i in range(1, 5))
    sequence = list if as_read_back else tuple
    run = RunWriter(
        f"bmm/{name}",
        {
            "scan_id": 40000,
            "beamline_id": "BMM (NSLS-II 06BM)",
            "plan_name": f"scan_nd xafs {mode}",
            "plan_type": "generator",
            "detectors": ["quadem1", "xs"],
            "motors": ["dcm_energy", "dwti_dwell_time"],
            "num_points": energy.size,
            "hints": {"dimensions": [[["dcm_energy", "dwti_dwell_time"], "primary"]]},
            "XDI": {
                "_user": {"startdate": "2025-07-01", "comment": ""},
                "_mode": sequence([mode]),
                "_kind": "xafs",
                "_dtc": sequence(detector),
                "Element": {"symbol": sample.element, "edge": "K"},
                "Scan": {"edge_energy": sample.edge.e0, "experimenters": "simulated"},
                "Mono": {"name": "Si(111)", "direction": "backward" if falling else "forward"},
                "Sample": {"name": sample.name, "prep": "simulated"},
            },
        },
    )
    run.stream("baseline", {"ring_current": number("mA"), "dcm_energy": number("eV")})
    run.event("baseline", {"ring_current": 400.0, "dcm_energy": 7100.0})
    chambers = {"I0": "i0", "It": "it", "Ir": "ir"}
    run.stream(
        "primary",
        {
            "dcm_energy": number("eV"),
            "dcm_energy_setpoint": number("eV"),
            "dwti_dwell_time": number("s"),
            **{key: number("nA") for key in chambers},
            **{key: number() for key in detector},
        },
    )
    seen = beam.signals(energy)
    columns = {
        "dcm_energy": energy,
        "dcm_energy_setpoint": energy,
        "dwti_dwell_time": dwell,
        **{key: seen[signal] * dwell for key, signal in chambers.items()},
        **{key: 2.5e4 * seen["iff"] * dwell * share for key, share in _shares(detector)},
    }
    columns = {key: column[:points] for key, column in columns.items()}
    if pages:
        run.page("primary", {key: column.tolist() for key, column in columns.items()})
    else:
        run.events("primary", columns)
    run.event("baseline", {"ring_current": 399.0, "dcm_energy": float(energy[-1])})
    run.stop(stop, "" if stop == "success" else "the user pressed Ctrl-C")
    return run.documents


def other(name: str = "alignment") -> Documents:
    """Write a run that is no XAS: the sample stage across the beam."""
    run = RunWriter(
        f"bmm/{name}",
        {
            "plan_name": "rel_scan linescan x It",
            "detectors": ["quadem1"],
            "motors": ["xafs_x"],
            "hints": {"dimensions": [[["xafs_x"], "primary"]]},
        },
    )
    run.stream("primary", {"xafs_x": number("mm"), "I0": number("nA"), "It": number("nA")})
    for i in range(21):
        run.event("primary", {"xafs_x": i - 10.0, "I0": 100.0, "It": 60.0 - abs(i - 10.0)})
    run.stop()
    return run.documents


def _shares(detector: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return the share of the fluorescence that each detector element sees; they sum to 1."""
    weights = np.linspace(1.2, 0.8, len(detector)) / len(detector)
    return list(zip(detector, weights.tolist(), strict=True))
