"""The model card: everything a number depends on, in one checked file.

``card.json`` stands beside its graphs in ``models/<edge>/<version>/``. The
sha256 of its bytes is the model's id; it names the sha256 of every other file
of the folder, so that one id fixes them all.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankaae_stream.errors import ModelError
from rankaae_stream.report import ModelName
from rankaae_stream.spectrum import Edge, EnergyGrid, Floats, NormalizationRanges

__all__ = ["CARD_SCHEMA", "DomainRule", "ModelCard", "MonotoneMap", "Output", "TheoryShift"]

CARD_SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class MonotoneMap:
    """Latent to descriptor, piecewise linear between knots, constant outside.

    `latent` (k,) increases strictly, `value` (k,) does not decrease.
    """

    latent: Floats
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One descriptor the model estimates.

    Attributes
    ----------
    name, unit : str
    latent : int
        Which latent dimension is tied to it.
    range : (low, high)
        What the descriptor can be; intervals are cut there.
    maps : tuple of MonotoneMap
        One a member; the estimate is their mean.
    level : float
        Probability the interval is made for.
    simulated_error : float
        That quantile of the absolute error on simulated validation compounds.
    standards_error : float
        That quantile of the leave-one-compound-out error on measured standards;
        0 where no standard carries the label.
    """

    name: str
    unit: str
    latent: int
    range: tuple[float, float]
    maps: tuple[MonotoneMap, ...]
    level: float
    simulated_error: float
    standards_error: float


@dataclass(frozen=True, slots=True)
class TheoryShift:
    """Added to the calibrated energy to reach the simulation's axis, eV.

    `uncertainty` is one standard deviation. `by_residual` and `by_valence` are
    the two optima it was found from; `compression` (eV per unit valence) is what
    the simulated energies were moved by before training, to undo the compressed
    chemical shifts of the simulation.
    """

    value: float
    uncertainty: float
    by_residual: float
    by_valence: float
    compression: float


@dataclass(frozen=True, slots=True)
class DomainRule:
    """Out of domain: a share of the spectrum's structure beyond `threshold` that the
    reconstruction leaves unexplained above `start` (see `latent.reconstruction_residual`).

    `start` is relative to the tabulated edge, eV: below it nothing was simulated.
    """

    start: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """A checked card.json; `raw` keeps what the runtime does not use (data, scores, domain)."""

    id: str
    name: str
    version: str
    files: Mapping[str, str]
    edge: Edge
    grid: EnergyGrid
    normalization: NormalizationRanges
    theory_shift: TheoryShift
    members: int
    latent: int
    outputs: tuple[Output, ...]
    domain: DomainRule
    raw: Mapping[str, Any]

    @property
    def title(self) -> ModelName:
        """Name, version and id as a report carries them."""
        return ModelName(self.name, self.version, self.id)

    @classmethod
    def from_bytes(cls, content: bytes, where: str = "card.json") -> "ModelCard":
        """Read and check a card.

        Parameters
        ----------
        content : bytes
            The file as it is; the id is taken from exactly these bytes.
        where : str
            Named in messages.

        Raises
        ------
        ModelError
            When it is not JSON, lacks a key, or contradicts itself.
        """
        try:
            raw = json.loads(content)
            if raw.get("schema") != CARD_SCHEMA:
                raise ModelError(
                    f"{where}: card schema {raw.get('schema')!r}, this version reads "
                    f"{CARD_SCHEMA}; update rankaae-stream or export the model again"
                )
            return cls._checked(raw, hashlib.sha256(content).hexdigest(), where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{where}: not a valid model card ({type(error).__name__}: {error}); "
                "export the model again with: python -m training export"
            ) from error

    @classmethod
    def _checked(cls, raw: dict[str, Any], digest: str, where: str) -> "ModelCard":
        members = int(raw["members"])
        latent = int(raw["latent"])
        outputs = tuple(_output(item) for item in raw["outputs"])
        for output in outputs:
            if len(output.maps) != members or not 0 <= output.latent < latent:
                raise ModelError(
                    f"{where}: {output.name} has {len(output.maps)} maps on latent "
                    f"{output.latent}; the model has {members} members and {latent} latents"
                )
        return cls(
            id=digest,
            name=str(raw["name"]),
            version=str(raw["version"]),
            files={str(name): str(value) for name, value in raw["files"].items()},
            edge=Edge(**raw["edge"]),
            grid=EnergyGrid(**raw["grid"]),
            normalization=NormalizationRanges(**raw["normalization"]),
            theory_shift=TheoryShift(**raw["theory_shift"]),
            members=members,
            latent=latent,
            outputs=outputs,
            domain=DomainRule(**raw["domain"]),
            raw=raw,
        )


def _output(item: dict[str, Any]) -> Output:
    maps = tuple(
        MonotoneMap(np.asarray(m["latent"], dtype=float), np.asarray(m["value"], dtype=float))
        for m in item["maps"]
    )
    for one in maps:
        if one.latent.shape != one.value.shape or one.latent.ndim != 1 or one.latent.size < 2:
            raise ValueError(f"{item['name']}: a map needs two knots or more")
        if np.any(np.diff(one.latent) <= 0) or np.any(np.diff(one.value) < 0):
            raise ValueError(f"{item['name']}: a map's knots must increase")
    low, high = item["range"]
    return Output(
        name=str(item["name"]),
        unit=str(item["unit"]),
        latent=int(item["latent"]),
        range=(float(low), float(high)),
        maps=maps,
        level=float(item["level"]),
        simulated_error=float(item["simulated_error"]),
        standards_error=float(item["standards_error"]),
    )
