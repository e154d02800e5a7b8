"""One model's training configuration: a TOML file, checked to the last key."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES, EnergyGrid
from training.descriptors import DESCRIPTORS

__all__ = [
    "Augment",
    "Calibration",
    "Config",
    "Data",
    "Fit",
    "Grid",
    "Kind",
    "Losses",
    "Network",
    "load",
]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"[{value[0]}, {value[1]}] should be [smallest, largest]")
    return value


Range = Annotated[tuple[NotNegative, NotNegative], AfterValidator(_ascending)]

AVERAGED = frozenset({"oxidation_state", "coordination_number"})
"""Descriptors whose mean over its sites chemists state for a mixture; others mean nothing there."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grid(_Section):
    """The model's energies, eV from the tabulated edge."""

    start: float = -12.0
    stop: float = 60.0
    points: int = 256

    def energy_grid(self) -> EnergyGrid:
        """Return the same grid as the runtime's type."""
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
    shifts: dict[float, float] = Field(
        default_factory=dict[float, float],
        description="by valence: eV that measured energies need to lie on the simulation, which "
        "is moved by as much the other way before training; `training shifts` finds them",
    )
    core_hole_width: float = Field(description="full width of the Lorentzian tail, eV")
    related: str | None = Field(
        default=None,
        description="glob below training/data: sites of other elements that are trained along in "
        "the first part of the epochs; never a compound of validation or test",
    )
    own_host_weight: Annotated[int, Field(ge=1)] = Field(
        default=2,
        description="how often an epoch shows a site in a host of its own metal, where there are "
        "substituted ones too",
    )
    validation: Fraction = 0.15
    test: Fraction = 0.15
    split_seed: int = 0


class Network(_Section):
    """Three networks; one latent a descriptor, then `free` ones."""

    descriptors: tuple[str, ...] = Field(
        default=(
            "oxidation_state",
            "coordination_number",
            "ligand_coordination",
            "bond_length_spread",
            "min_ligand_distance",
        ),
        min_length=1,
        description="what the first latents are tied to, in their order",
    )
    free: int = Field(default=1, ge=0, description="latents that no descriptor orders")
    encoder: Literal["fc", "cnn"] = Field(
        default="fc", description="fully connected, or convolutions along energy"
    )
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(8, 16, 32, 32),
        min_length=1,
        description="of the cnn's layers, each of which halves the number of points",
    )
    width: int = Field(default=128, ge=1, description="of a fully connected layer of the encoder")
    depth: int = Field(
        default=4, ge=1, description="number of the encoder's fully connected hidden layers"
    )
    decoder_width: int = Field(default=256, ge=1, description="of a layer of the decoder")
    decoder_depth: int = Field(
        default=2,
        ge=1,
        description="number of the decoder's hidden layers; fewer and wider ones draw unseen "
        "compounds better, see decision 28",
    )
    dropout: Fraction = Field(
        default=0.04,
        description="without any, units that hardly vary blow up on spectra unlike the trained",
    )
    discriminator_noise: NotNegative = 0.56
    discriminator_dropout: Fraction = 0.056

    @field_validator("descriptors")
    @classmethod
    def _known_and_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in DESCRIPTORS]
        if unknown or len(set(names)) < len(names):
            wrong = f"does not know {', '.join(unknown)}" if unknown else "names one twice"
            raise ValueError(f"{wrong}; choose each at most once from {', '.join(DESCRIPTORS)}")
        return names

    @property
    def latent(self) -> int:
        """Return the number of latent dimensions."""
        return len(self.descriptors) + self.free

    @property
    def averaged(self) -> tuple[int, ...]:
        """Return the positions of the descriptors that a mixture of sites has the mean of."""
        return tuple(k for k, name in enumerate(self.descriptors) if name in AVERAGED)


class Augment(_Section):
    """Strengths of the augmentation; energies in eV. Zero switches an effect off."""

    shift: NotNegative = Field(
        default=0.7,
        description="standard deviation of the energy shift; simulations misplace single "
        "compounds, and laboratories their axes, by 1-2",
    )
    broadening: Range = Field(default=(0.3, 1.6), description="range of Gaussian sigmas")
    core_hole: Range = Field(
        default=(0.0, 1.0),
        description="range of full widths of a Lorentzian added to the simulation's own",
    )
    noise: NotNegative = Field(
        default=0.015, description="largest standard deviation of point noise"
    )
    drift: NotNegative = Field(
        default=0.008, description="largest standard deviation of noise that is alike along energy"
    )
    drift_length: Range = Field(
        default=(1.0, 10.0), description="range of the energies over which drift forgets itself"
    )
    glitch: NotNegative = Field(default=0.1, description="standard deviation of a glitch's height")
    glitch_width: Range = Field(default=(0.3, 1.5), description="range of its full width")
    glitch_share: Fraction = Field(default=0.05, description="share of spectra with one glitch")
    height: NotNegative = Field(default=0.04, description="standard deviation of log height")
    slope: NotNegative = Field(default=0.03, description="standard deviation, per 50 eV")
    curvature: NotNegative = Field(
        default=0.01, description="standard deviation of what a parabola adds at +50 eV"
    )
    over_absorption: Fraction = Field(default=0.15, description="largest damping")
    over_absorption_share: Fraction = 0.4
    post_edge: NotNegative = Field(
        default=0.04,
        description="standard deviation, per 50 eV, of the post-edge slope that stays in a scan "
        "which ends before +100; the shipped standards have this",
    )
    pre_edge: NotNegative = Field(
        default=0.2,
        description="standard deviation, per 50 eV, of the pre-edge slope that stays in a scan "
        "which starts after -30; the shipped standards have this",
    )
    short_share: Fraction = Field(
        default=0.1,
        description="share of spectra that end early, and as large a share that start late; so "
        "many of the shipped standards do",
    )
    gap: Range = Field(default=(1.0, 6.0), description="range of widths without a measured point")
    gap_share: Fraction = Field(default=0.1, description="share of spectra with one gap")
    mixture_share: Fraction = Field(
        default=0.45, description="share of spectra that become sums of two or three sites"
    )


class Losses(_Section):
    """Weights of the summed losses."""

    rank: NotNegative = 10.0
    linear: NotNegative = Field(
        default=20.0, description="keeps mixtures on the line between what they are mixed of"
    )
    reconstruction: NotNegative = 60.0
    tail: NotNegative = Field(
        default=1.0, description="keeps the decoder tame below the simulation"
    )
    adversarial: NotNegative = 1.0
    mutual_information: NotNegative = 0.1
    smoothness: NotNegative = 1.0


class Fit(_Section):
    """Optimisation and the ensemble."""

    epochs: int = 800
    batch: int = 128
    rate: float = Field(default=4e-3, description="peak of the one-cycle learning rate")
    weight_decay: float = 0.01
    trials: int = Field(default=6, description="networks of each kind that are trained")
    keep: int = Field(default=2, description="those of the first kind that the model is made of")
    seed: int = 0


class Kind(_Section):
    """Another kind of networks in the ensemble: what differs from `network` and `fit`.

    Kinds err in different ways, so that their mean is nearer to the truth than either, above
    all on mixtures; see decision 29.
    """

    width: int = Field(default=256, ge=1, description="of a layer of the encoder")
    depth: int = Field(default=2, ge=1, description="number of the encoder's hidden layers")
    epochs: int = 400
    keep: int = Field(default=4, description="those of this kind that the model is made of")


class Calibration(_Section):
    """How latents become estimates with intervals."""

    level: Fraction = 0.9
    copies: int = 8


class Config(_Section):
    """All that decides what a model will be."""

    name: str
    version: str = Field(pattern=r"^\w[\w.-]*$", description="a folder's name, such as a date")
    element: str
    data: Data
    grid: Grid = Grid()
    network: Network = Network()
    augment: Augment = Augment()
    losses: Losses = Losses()
    fit: Fit = Fit()
    calibration: Calibration = Calibration()
    kinds: tuple[Kind, ...] = Field(
        default=(Kind(),), description="kinds of networks beside those of `network` and `fit`"
    )

    def each_kind(self) -> "list[Config]":
        """Return one configuration for each kind of networks: this one's own, then `kinds`."""
        alone = self.model_copy(update={"kinds": ()})
        return [
            alone,
            *(
                alone.model_copy(
                    update={
                        "network": self.network.model_copy(
                            update={"width": kind.width, "depth": kind.depth}
                        ),
                        "fit": self.fit.model_copy(
                            update={"epochs": kind.epochs, "keep": kind.keep}
                        ),
                    }
                )
                for kind in self.kinds
            ),
        ]

    @property
    def e0(self) -> float:
        """Return the tabulated edge, eV."""
        return K_EDGES[self.element]

    @property
    def folder(self) -> str:
        """Return the model's folder below models/, such as ``fe-k/2026-11-22``."""
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
    for kind in config.each_kind():
        if kind.fit.keep > kind.fit.trials:
            raise ConfigurationError(
                f"{path}: keep = {kind.fit.keep} exceeds fit.trials = {kind.fit.trials}"
            )
    return config
