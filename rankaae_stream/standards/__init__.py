"""Fit a shipped model to spectra of known compounds that a beamline measured itself."""
