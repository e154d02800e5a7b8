"""Write TES's fly scans: one event a complete scan, its energies in another stream."""

from typing import Any

import numpy as np

from rankaae_stream.files.run_writer import Documents, RunWriter, array
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.spectrum import Floats

__all__ = ["fly", "pixel_energies"]

CHANNELS = 4


def pixel_energies(e0: float, *, falling: bool = False) -> Floats:
    """Return mean energies of the pixels, eV: even steps of the mono's linear drive."""
    back = 1977.04
    low, high = (float(np.tan(np.pi / 2 - 2 * np.arcsin(back / e))) for e in (e0 - 180, e0 + 190))
    edges: Floats = back / np.sin((np.pi / 2 - np.arctan(np.linspace(low, high, 901))) / 2)
    centres = (edges[1:] + edges[:-1]) / 2
    return centres[::-1] if falling else centres


def fly(
    beam: Beam,
    *,
    name: str = "fly",
    scans: int = 1,
    falling: bool = False,
    pages: bool = False,
    last: int | None = None,
    stop: str | None = "success",
) -> Documents:
    """Write several scans in one run.

    Parameters
    ----------
    beam : Beam
        Each scan's noise is its own.
    name : str
        Of the run.
    scans : int
    falling : bool
    pages : bool
        All scans in one event page.
    last : int, optional
        Pixels of the last scan, where it was ended early.
    stop : str or None
        Exit status; None where the stop document never came.
    """
    sample = beam.sample
    energy = pixel_energies(sample.edge.e0, falling=falling)
    run = RunWriter(
        f"tes/{name}",
        {
            "plan_name": "E_fly",
            "scan_title": sample.name,
            "operator": "simulated",
            "user_input": {
                "element": sample.element,
                "edge": "K",
                "start": float(energy[0]),
                "stop": float(energy[-1]),
                "step_size": 0.4,
            },
            "derived_input": {"num_pixels": energy.size},
        },
    )
    run.stream("energy_bins", {"E_centers": array(energy.size)})
    run.event("energy_bins", {"E_centers": energy.tolist()})
    run.stream(
        "primary",
        {
            "I0": array(energy.size),
            "fbratio": array(energy.size),
            "dwell_time": array(energy.size),
            "fluor": array(energy.size, CHANNELS),
        },
    )
    scan_columns: list[dict[str, list[Any]]] = []
    for i in range(scans):
        seen = Beam(beam.sample, beam.dilution, beam.noise, beam.foil, beam.nan, beam.seed + i)
        signals = seen.signals(energy, i0=2e5)
        fluor = np.outer(100 * signals["iff"], [0.3, 0.2, 0.25, 0.25])
        pixels = last if last is not None and i == scans - 1 else energy.size
        scan_columns.append(
            {
                "I0": signals["i0"][:pixels].tolist(),
                "fbratio": (30 * signals["iff"][:pixels]).tolist(),
                "dwell_time": [0.05] * pixels,
                "fluor": fluor[:pixels].tolist(),
            }
        )
    if pages:
        keys = scan_columns[0]
        run.page("primary", {key: [scan[key] for scan in scan_columns] for key in keys}, 30.0)
    else:
        for columns in scan_columns:
            run.event("primary", columns, 30.0)
    run.stop(stop)
    return run.documents
