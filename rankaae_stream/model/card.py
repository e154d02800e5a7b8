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
from rankaae_stream.report import Described, ModelName
from rankaae_stream.spectrum import Edge, EnergyGrid, Floats, NormalizationRanges

__all__ = [
    "CARD_SCHEMA",
    "EVIDENCE",
    "SPECTRA",
    "DomainRule",
    "ModelCard",
    "MonotoneMap",
    "Output",
    "Region",
    "TheoryShift",
]

CARD_SCHEMA = 2

EVIDENCE = ("measured", "simulation")
"""What speaks for a descriptor; see `Output`."""

SPECTRA = ("herfd",)
"""Kinds of spectra that a card may say its model was trained on, each a key that is true."""


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
    error_constant, error_per_spread : float
        Half-width of the interval before the axis' part: a constant, and a share of
        the standard deviation of the members' estimates.
    evidence : str
        ``measured`` where the descriptor was shown right on measured compounds of
        known structure, ``simulation`` where only simulated sites speak for it.
    """

    name: str
    unit: str
    latent: int
    range: tuple[float, float]
    maps: tuple[MonotoneMap, ...]
    level: float
    error_constant: float
    error_per_spread: float
    evidence: str


@dataclass(frozen=True, slots=True)
class TheoryShift:
    """Added to the calibrated energy to reach the simulation's axis, eV.

    `uncertainty` is one standard deviation. `by_residual` and `by_valence` are
    the two optima it was found from, the second None where the standards hold one
    valence; `compression` (eV per unit valence) is what the simulated energies were
    moved by before training, to undo the compressed chemical shifts of the simulation.
    """

    value: float
    uncertainty: float
    by_residual: float
    by_valence: float | None
    compression: float


@dataclass(frozen=True, slots=True)
class Region:
    """Energies from `start` to `stop` (eV from the tabulated edge), and the misfit that
    theory shows there on good measured oxides, as a share of a spectrum's structure.
    """

    start: float
    stop: float
    misfit: float


@dataclass(frozen=True, slots=True)
class DomainRule:
    """When a spectrum is unlike what the model knows; see `latent.domain_distance`.

    Attributes
    ----------
    start : float
        Nuisances are fitted from here on, eV from the tabulated edge: below it most
        simulated spectra are only a tail.
    regions : tuple of Region
    latent_length : float
        Usual length of the latents of good measured oxides.
    threshold : float
        Out of domain beyond it.
    """

    start: float
    regions: tuple[Region, ...]
    latent_length: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """A checked card.json; `raw` keeps what the runtime does not use (data, scores, domain).

    `trained_for` names kinds of spectra beside plain absorption, of `SPECTRA`; a card that
    names none holds for plain absorption only.
    """

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
    trained_for: frozenset[str] = frozenset()

    @property
    def title(self) -> ModelName:
        """Name, version and id as a report carries them."""
        return ModelName(self.name, self.version, self.id)

    @property
    def described(self) -> tuple[Described, ...]:
        """What the model estimates, as a result names it."""
        return tuple(Described(one.name, one.unit, one.evidence) for one in self.outputs)

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
            domain=_domain(raw["domain"]),
            raw=raw,
            trained_for=_trained_for(raw),
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
    if item["evidence"] not in EVIDENCE:
        raise ValueError(f"{item['name']}: evidence {item['evidence']!r} is none of {EVIDENCE}")
    low, high = item["range"]
    return Output(
        name=str(item["name"]),
        unit=str(item["unit"]),
        latent=int(item["latent"]),
        range=(float(low), float(high)),
        maps=maps,
        level=float(item["level"]),
        error_constant=float(item["error_constant"]),
        error_per_spread=float(item["error_per_spread"]),
        evidence=str(item["evidence"]),
    )


def _trained_for(raw: dict[str, Any]) -> frozenset[str]:
    for kind in SPECTRA:
        if not isinstance(raw.get(kind, False), bool):
            raise ValueError(f"{kind} is {raw[kind]!r}, and must be true or false")
    return frozenset(kind for kind in SPECTRA if raw.get(kind))


def _domain(item: dict[str, Any]) -> DomainRule:
    regions = tuple(Region(**region) for region in item["regions"])
    scales = [item["latent_length"], *(region.misfit for region in regions)]
    if not regions or min(scales) <= 0:
        raise ValueError("the domain needs regions, and scales above 0")
    return DomainRule(
        start=float(item["start"]),
        regions=regions,
        latent_length=float(item["latent_length"]),
        threshold=float(item["threshold"]),
    )
