"""Read and check a model card: the file that holds everything an estimate depends on.

``card.json`` lies beside its networks in ``models/<edge>/<version>/``. The sha256 of its
bytes is the model's id. The card holds the sha256 of every other file of the folder, so
the id identifies the whole folder.
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
"""How a descriptor was validated; see `Output`."""

SPECTRA = ("herfd",)
"""Kinds of spectra beside plain absorption; a card has the key true if trained on them."""


@dataclass(frozen=True, slots=True, eq=False)
class MonotoneMap:
    """A monotone map from latent to descriptor: linear between knots, constant outside.

    `latent` (k,) increases strictly, `value` (k,) never decreases.
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
        Index of the latent dimension that follows it.
    range : (low, high)
        Possible values; intervals are cut there.
    maps : tuple of MonotoneMap
        One for each member of the ensemble; the estimate is their mean.
    level : float
        Probability that the interval holds the true value.
    error_constant, error_per_spread : float
        Half-width of the interval on an exact energy axis: `error_constant` (in `unit`) plus
        `error_per_spread` times the standard deviation of the members' estimates.
    evidence : str
        ``measured`` where the estimates were right for measured compounds of known
        structure, ``simulation`` where they were tested on simulated sites only.
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
    """The energy added to the calibrated axis to reach the simulation's axis, eV.

    `uncertainty` is one standard deviation. `by_residual` and `by_valence` are the two
    optima that it was found from; `by_valence` is None where the standards have a single
    valence. `compression` (eV per unit of valence) is how far the simulated energies were
    moved before training, because the simulation compresses chemical shifts.
    """

    value: float
    uncertainty: float
    by_residual: float
    by_valence: float | None
    compression: float


@dataclass(frozen=True, slots=True)
class Region:
    """Energies from `start` to `stop`, eV from the tabulated edge, and the usual `misfit`.

    The misfit is that of the theory on good measured oxides, as a share of a spectrum's
    structure (see `domain.region_misfits`).
    """

    start: float
    stop: float
    misfit: float


@dataclass(frozen=True, slots=True)
class DomainRule:
    """The rule for spectra unlike the training data; see `domain.domain_distance`.

    Attributes
    ----------
    start : float
        Nuisances are fitted above this energy, eV from the tabulated edge: below it most
        simulated spectra are only a tail.
    regions : tuple of Region
    latent_length : float
        Usual length of the latents of good measured oxides.
    threshold : float
        A spectrum with a larger distance is out of domain.
    """

    start: float
    regions: tuple[Region, ...]
    latent_length: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """A checked card.json.

    `raw` is the whole card, with keys that the runtime does not use (data, scores, training).
    `trained_for` holds the kinds of `SPECTRA` that the model was trained on beside plain
    absorption; empty for plain absorption only.
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
        """Return name, version and id, as in a report."""
        return ModelName(self.name, self.version, self.id)

    @property
    def described(self) -> tuple[Described, ...]:
        """Return name, unit and evidence of each descriptor, as in a result."""
        return tuple(Described(out.name, out.unit, out.evidence) for out in self.outputs)

    @classmethod
    def from_bytes(cls, content: bytes, where: str = "card.json") -> "ModelCard":
        """Read and check a card.

        Parameters
        ----------
        content : bytes
            Of the file; the id is their sha256.
        where : str
            Name of the file in error messages.

        Raises
        ------
        ModelError
            When it is not JSON, has no such schema, lacks a key, or is inconsistent.
        """
        try:
            raw = json.loads(content)
            if raw.get("schema") != CARD_SCHEMA:
                raise ModelError(
                    f"{where} has card schema {raw.get('schema')!r}, this version reads schema "
                    f"{CARD_SCHEMA}; update rankaae-stream or export the model again"
                )
            return cls._checked(raw, hashlib.sha256(content).hexdigest(), where)
        except (
            *(KeyError, TypeError, ValueError, AttributeError, IndexError),
            *(OverflowError, RecursionError),
        ) as error:
            raise ModelError(
                f"{where} is not a valid model card ({type(error).__name__}: {error}); "
                "export the model again with: python -m training fit CONFIG.toml"
            ) from error

    @classmethod
    def _checked(cls, raw: dict[str, Any], digest: str, where: str) -> "ModelCard":
        members = int(raw["members"])
        latent = int(raw["latent"])
        outputs = tuple(_output(item) for item in raw["outputs"])
        for output in outputs:
            if len(output.maps) != members or not 0 <= output.latent < latent:
                raise ModelError(
                    f"{where}: {output.name} has {len(output.maps)} maps from latent "
                    f"{output.latent}, but the model has {members} members and {latent} latents"
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
    for m in maps:
        if m.latent.shape != m.value.shape or m.latent.ndim != 1 or m.latent.size < 2:
            raise ValueError(
                f"{item['name']}: a map has latents of shape {m.latent.shape} and values of shape "
                f"{m.value.shape}; it needs two knots or more"
            )
        if np.any(np.diff(m.latent) <= 0) or np.any(np.diff(m.value) < 0):
            raise ValueError(
                f"{item['name']}: a map's latents must increase and its values must not decrease"
            )
    if item["evidence"] not in EVIDENCE:
        raise ValueError(
            f"{item['name']}: evidence is {item['evidence']!r}, must be {' or '.join(EVIDENCE)}"
        )
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
            raise ValueError(f"{kind} is {raw[kind]!r}, must be true or false")
    return frozenset(kind for kind in SPECTRA if raw.get(kind))


def _domain(item: dict[str, Any]) -> DomainRule:
    regions = tuple(Region(**region) for region in item["regions"])
    scales = [item["latent_length"], *(region.misfit for region in regions)]
    if not regions or min(scales) <= 0:
        raise ValueError("domain needs one region or more, misfits and latent_length above 0")
    return DomainRule(
        start=float(item["start"]),
        regions=regions,
        latent_length=float(item["latent_length"]),
        threshold=float(item["threshold"]),
    )
