"""The folders that training reads from and writes to, in a checkout."""

from pathlib import Path

__all__ = ["CONFIGS", "DATA", "LEARNING", "MODELS", "RUNS", "SPLITS", "STANDARDS"]

_TRAINING = Path(__file__).resolve().parent

DATA = _TRAINING / "data"
"""Simulated spectra, one Parquet file an element and batch."""

CONFIGS = _TRAINING / "configs"
"""One TOML a model."""

STANDARDS = DATA / "standards"
"""Measured spectra with labels.csv, and the constants and crystals of those not shipped."""

LEARNING = _TRAINING / "learning"
"""Learning curves, one JSON file a configuration."""

SPLITS = _TRAINING / "splits"
"""Figures of single networks on several splits by compound, one JSON file a configuration."""

RUNS = _TRAINING / "runs"
"""Trained networks, kept so that a training resumes; not in the repository."""

MODELS = _TRAINING.parent / "models"
"""Exported models and their index."""
