"""Evaluate a model on simulated and measured spectra, and write its report."""
