"""One model's training configuration: a TOML file, checked to the last key."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES, EnergyGrid

__all__ = ["Augment", "Calibration", "Config", "Data", "Fit", "Grid", "Losses", "Network", "load"]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grid(_Section):
    """The model's energies, eV from the tabulated edge."""

    start: float = -12.0
    stop: float = 60.0
    points: int = 256

    def energy_grid(self) -> EnergyGrid:
        """The noun of the runtime."""
        return EnergyGrid(self.start, self.stop, self.points)


class Data(_Section):
    """Which simulated spectra, and how they are split by compound."""

    source: Literal["parquet", "csv", "feff"] = Field(
        default="parquet",
        description="what `simulated` matches: our files, the original authors' CSV, or folders "
        "of one FEFF run each",
    )
    simulated: str = Field(
        description="glob below the data folder, which is training/data unless `fit --data` names "
        "another; batches are appended as files"
    )
    table: str | None = Field(
        default=None,
        description="CSV below the data folder with a column `id` (material of a CSV row, folder "
        "of a FEFF run) and `oxidation_state`, `host_formula` or both",
    )
    compression: float = Field(
        default=0.0, description="eV per unit valence added to simulated energies"
    )
    core_hole_width: float = Field(description="full width of the Lorentzian tail, eV")
    validation: Fraction = 0.15
    test: Fraction = 0.15
    split_seed: int = 0


class Network(_Section):
    """Fully connected form; one latent a descriptor, then `free` ones."""

    descriptors: tuple[str, ...] = (
        "oxidation_state",
        "coordination_number",
        "ligand_coordination",
        "bond_length_spread",
        "min_ligand_distance",
    )
    free: int = 1
    width: int = 64
    depth: int = 4
    dropout: Fraction = 0.04
    discriminator_noise: NotNegative = 0.56
    discriminator_dropout: Fraction = 0.056

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return len(self.descriptors) + self.free


class Augment(_Section):
    """Strengths of the augmentation; energies in eV."""

    shift: NotNegative = Field(default=0.7, description="standard deviation of the energy shift")
    broadening: tuple[float, float] = Field(
        default=(0.3, 1.6), description="range of Gaussian sigmas"
    )
    noise: NotNegative = Field(
        default=0.015, description="largest standard deviation of point noise"
    )
    height: NotNegative = Field(default=0.04, description="standard deviation of log height")
    slope: NotNegative = Field(default=0.03, description="standard deviation, per 50 eV")
    over_absorption: Fraction = Field(default=0.15, description="largest damping")
    over_absorption_share: Fraction = 0.4
    mixture_share: Fraction = Field(
        default=0.3, description="share of spectra mixed with another one"
    )


class Losses(_Section):
    """Weights of the summed losses."""

    rank: NotNegative = 1.0
    reconstruction: NotNegative = 30.0
    tail: NotNegative = Field(
        default=1.0, description="keeps the decoder tame below the simulation"
    )
    adversarial: NotNegative = 1.0
    mutual_information: NotNegative = 0.1
    smoothness: NotNegative = 1.0


class Fit(_Section):
    """Optimisation and the ensemble."""

    epochs: int = 500
    batch: int = 128
    rate: float = Field(default=4e-3, description="peak of the one-cycle learning rate")
    weight_decay: float = 0.01
    trials: int = 6
    keep: int = 3
    seed: int = 0


class Calibration(_Section):
    """How latents become estimates, and how the theory shift is searched."""

    level: Fraction = 0.9
    copies: int = 8
    shift_range: tuple[float, float] = (-5.0, 6.0)
    start: float = Field(default=5.0, description="residuals count from here, eV; never below +5")
    residual_weight: Fraction = Field(
        default=0.5,
        description="share of the residual's optimum in the shift; the rest is the valence's",
    )


class Config(_Section):
    """All that decides what a model will be."""

    name: str
    version: str
    element: str
    data: Data
    grid: Grid = Grid()
    network: Network = Network()
    augment: Augment = Augment()
    losses: Losses = Losses()
    fit: Fit = Fit()
    calibration: Calibration = Calibration()

    @property
    def e0(self) -> float:
        """Tabulated edge, eV."""
        return K_EDGES[self.element]

    @property
    def folder(self) -> str:
        """Where the model lies below models/, such as ``fe-k/2026-11-22``."""
        return f"{self.element.lower()}-k/{self.version}"


def load(path: Path) -> Config:
    """Read a configuration.

    Raises
    ------
    ConfigurationError
        When the file is missing, is not TOML, or has an unknown or wrong key.
    """
    try:
        config = Config.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if config.element not in K_EDGES:
        raise ConfigurationError(
            f"{path}: no tabulated K edge of {config.element!r}; known: {', '.join(K_EDGES)}"
        )
    if config.fit.keep > config.fit.trials:
        raise ConfigurationError(
            f"{path}: fit.keep = {config.fit.keep} exceeds fit.trials = {config.fit.trials}"
        )
    if config.calibration.start < 5.0:
        raise ConfigurationError(
            f"{path}: calibration.start = {config.calibration.start} eV is below +5 eV, "
            "where simulations begin"
        )
    return config
