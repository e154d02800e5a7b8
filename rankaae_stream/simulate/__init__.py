"""A small simulated beamline that plays measured spectra as ordinary bluesky runs.

Nothing here knows of the plugin: the devices are ophyd-async devices and the
plan is a `list_scan`, so that what works here works on a beamline's own scans.
"""

from rankaae_stream.simulate.devices import Beamline, Faults
from rankaae_stream.simulate.plans import scan, scan_energies, step_energies
from rankaae_stream.simulate.samples import SERIES, Curves, Sample, curves, series

__all__ = [
    "SERIES",
    "Beamline",
    "Curves",
    "Faults",
    "Sample",
    "curves",
    "scan",
    "scan_energies",
    "series",
    "step_energies",
]
