"""Simulate beamlines that play measured spectra as ordinary bluesky runs.

Nothing here depends on the analysis: the devices are ophyd-async devices and the plan is a
`list_scan`, so what is answered here is answered at a real beamline.
"""

from rankaae_stream.simulate.devices import Beamline, Faults
from rankaae_stream.simulate.plans import scan, scan_energies, step_energies
from rankaae_stream.simulate.samples import SERIES, Curves, Sample, curves, mixture, series

__all__ = [
    "SERIES",
    "Beamline",
    "Curves",
    "Faults",
    "Sample",
    "curves",
    "mixture",
    "scan",
    "scan_energies",
    "series",
    "step_energies",
]
