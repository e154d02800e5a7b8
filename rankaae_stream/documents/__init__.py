"""Collect a run's bluesky documents, choose the runs that are XAS, and split them into sweeps."""
