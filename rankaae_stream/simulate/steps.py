"""Write step scans as ISS, a plain ophyd session and an ophyd-async session emit them."""

from typing import Any

import numpy as np

from rankaae_stream.files.run_writer import Documents, RunWriter, number
from rankaae_stream.simulate.documents import Beam, over_the_edge
from rankaae_stream.spectrum import Floats

__all__ = ["iss_step", "ophyd_async_step", "ophyd_step"]

OFFSETS = (3.2, -1.7, 2.4, 0.8)
"""What ISS's amplifiers read without beam, mV: i0, it, ir, iff."""


def iss_step(
    beam: Beam,
    *,
    name: str = "step",
    falling: bool = False,
    experiment: str = "step_scan",
    spectrometer: str = "",
    offsets: bool = True,
) -> Documents:
    """Write a step scan at ISS.

    Parameters
    ----------
    beam : Beam
    name : str
    falling : bool
    experiment, spectrometer : str
        Keys of the start document; with a spectrometer the run is no XAS.
    offsets : bool
        Whether the descriptor holds the amplifiers' offsets.
    """
    sample = beam.sample
    energy = over_the_edge(sample, falling=falling)
    start: dict[str, Any] = {
        "experiment": experiment,
        "plan_name": "step_scan_plan",
        "element": sample.element,
        "edge": "K",
        "e0": 0 if not spectrometer else 6404.0,
        "name": sample.name,
        "comment": "",
        "detectors": {"apb_ave": {"channels": 8}, "xs": {"rois": 4}},
        "scan_kind": "xas" if not spectrometer else "xes",
        "sample_name": sample.name,
        "year": "2025",
        "cycle": "2",
        "proposal": "000000",
        **({"spectrometer": spectrometer} if spectrometer else {}),
    }
    run = RunWriter(f"iss/{name}", start)
    currents = [f"apb_ave_ch{i}_mean" for i in range(1, 9)]
    counts = [f"xs_channel{i}_rois_roi01_value" for i in range(1, 5)]
    axis = {**number("eV"), "object_name": "hhm_energy"}
    wave = {"source": "PV:simulated", "dtype": "array", "shape": [4], "object_name": "apb_ave"}
    configured = {f"apb_ave_ch{i + 1}_offset": offset for i, offset in enumerate(OFFSETS)}
    run.stream(
        "primary",
        {
            "hhm_energy": axis,
            "hhm_energy_user_setpoint": axis,
            **{key: {**number("mV"), "object_name": "apb_ave"} for key in currents},
            "apb_ave_ch1_wf": wave,
            **{key: {**number(), "object_name": "xs"} for key in counts},
        },
        {
            "apb_ave": {
                "data": configured if offsets else {},
                "timestamps": dict.fromkeys(configured, 1.75e9) if offsets else {},
                "data_keys": {key: number("mV") for key in configured} if offsets else {},
            }
        },
    )
    seen = beam.signals(energy, i0=2000.0)
    signals = [
        seen[role] + offset for role, offset in zip(("i0", "it", "ir"), OFFSETS, strict=False)
    ]
    signals += [seen["iff"] * 40 + OFFSETS[3], *([np.zeros(energy.size)] * 4)]
    columns = {
        "hhm_energy": energy,
        "hhm_energy_user_setpoint": energy,
        **dict(zip(currents, signals, strict=True)),
        "apb_ave_ch1_wf": np.column_stack([signals[0]] * 4),
        **dict.fromkeys(counts, 50 * seen["iff"]),
    }
    run.events("primary", columns)
    run.stop()
    return run.documents


def ophyd_step(
    beam: Beam,
    *,
    name: str = "scan",
    falling: bool = False,
    repeats: int = 1,
    back_and_forth: bool = False,
    kev: bool = False,
    points: int | None = None,
    stop: str | None = "success",
    **start: Any,
) -> Documents:
    """Write bluesky's ``list_scan`` with ophyd's devices: a motor in eV and a scaler.

    Parameters
    ----------
    beam : Beam
    name : str
    falling : bool
    repeats : int
        Sweeps in the run.
    back_and_forth : bool
        Whether every second sweep has the other direction.
    kev : bool
        The motor's unit is keV.
    points : int, optional
        Measured until the scan ended.
    stop : str or None
        Exit status; None where the stop document never came.
    **start
        Further keys of the start document; no element is stated otherwise.
    """
    once = over_the_edge(beam.sample, falling=falling)
    sweeps = [once[::-1] if back_and_forth and i % 2 else once for i in range(repeats)]
    energy = np.concatenate(sweeps)
    run = RunWriter(f"ophyd/{name}", {**_list_scan(energy, "energy", "scaler"), **start})
    axis = {**number("keV" if kev else "eV"), "object_name": "energy"}
    scaler = {**number(), "object_name": "scaler"}
    run.stream(
        "primary",
        {"energy": axis, "energy_user_setpoint": axis}
        | dict.fromkeys(("I0", "I1", "I2", "vortex_1", "vortex_2", "pips"), scaler),
    )
    seen = beam.signals(energy, i0=1e6)
    position = energy / 1000 if kev else energy
    columns = {
        "energy": position,
        "energy_user_setpoint": position,
        "I0": seen["i0"],
        "I1": seen["it"],
        "I2": seen["ir"],
        "vortex_1": 0.4 * seen["iff"],
        "vortex_2": 0.6 * seen["iff"],
        "pips": 3.0 * seen["iff"],
    }
    run.events("primary", columns, points)
    run.stop(stop)
    return run.documents


def ophyd_async_step(
    beam: Beam, *, name: str = "scan", falling: bool = False, pages: bool = False, **start: Any
) -> Documents:
    """Write bluesky's ``list_scan`` with ophyd-async's devices: hyphens, and numpy's types."""
    energy = over_the_edge(beam.sample, falling=falling)
    run = RunWriter(f"ophyd-async/{name}", {**_list_scan(energy, "mono-energy", "ic"), **start})

    def key(device: str, units: str) -> dict[str, Any]:
        described: dict[str, Any] = {
            "dtype": "number",
            "dtype_numpy": "<f8",
            "shape": [],
            "units": units,
        }
        return {"source": f"soft://{device}", "object_name": device, **described}

    seen = beam.signals(energy)
    chambers = {"ic-i0": seen["i0"], "ic-itrans": seen["it"], "ic-iref": seen["ir"]}
    columns = {"mono-energy": energy, **chambers}
    run.stream(
        "primary", {"mono-energy": key("mono", "eV")} | dict.fromkeys(chambers, key("ic", "A"))
    )
    if pages:
        run.page("primary", {name: column.tolist() for name, column in columns.items()})
    else:
        run.events("primary", columns)
    run.stop()
    return run.documents


def _list_scan(energy: Floats, motor: str, detector: str) -> dict[str, Any]:
    """Return what bluesky's plan writes into the start document."""
    return {
        "plan_name": "list_scan",
        "plan_type": "generator",
        "detectors": [detector],
        "motors": [motor],
        "num_points": energy.size,
        "num_intervals": energy.size - 1,
        "hints": {"dimensions": [[[motor], "primary"]]},
    }
