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
    "FEWEST_COMPOUNDS",
    "SPECTRA",
    "DomainRule",
    "Level",
    "ModelCard",
    "MonotoneMap",
    "Output",
    "OwnStandards",
    "PartialRule",
    "TheoryShift",
]

CARD_SCHEMA = 3

EVIDENCE = ("measured", "simulation")
"""How a descriptor was validated; see `Output`."""

SPECTRA = ("herfd",)
"""Kinds of spectra beside plain absorption; a card has the key true if trained on them."""


FEWEST_COMPOUNDS = 3
"""Measured compounds below which an answer at a valence says that it rests on few."""


@dataclass(frozen=True, slots=True, eq=False)
class MonotoneMap:
    """A monotone map, such as from latent to descriptor: linear between knots.

    `latent` (k,) increases strictly, `value` (k,) never decreases.
    """

    latent: Floats
    value: Floats


@dataclass(frozen=True, slots=True)
class Level:
    """One value of a descriptor, and how many measured compounds have it."""

    value: float
    compounds: int


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
    calibration : MonotoneMap
        From the whole half-width (the one above, and what the energy axis and the edge step
        change, added in quadrature) to the one that holds measured compounds; both in `unit`.
        See `estimates.calibrated`.
    per_ev : float
        What an error of the energy axis by 1 eV changes the estimate of a mixture by; 0 where
        that means nothing. A pure compound may lie where the map is flat: there the axis seems
        to change nothing.
    levels : tuple of Level
        Valences that measured compounds support; empty for other descriptors.
    unsupported_half : float
        The half-width is no smaller near a level of fewer than `FEWEST_COMPOUNDS`.
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
    calibration: MonotoneMap
    evidence: str
    per_ev: float = 0.0
    levels: tuple[Level, ...] = ()
    unsupported_half: float = 0.0


@dataclass(frozen=True, slots=True)
class TheoryShift:
    """The energy added to the calibrated axis to reach the model's axis, eV.

    `uncertainty` is one standard deviation. Before training the simulated energies were
    moved onto the measured axis, by `moved` (eV, by valence), so that `value` is what
    measured compounds still ask for.
    """

    value: float
    uncertainty: float
    moved: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DomainRule:
    """The rule for spectra of no oxide, and for oxides that the model draws badly.

    Attributes
    ----------
    aligned : (start, stop)
        Energies that the classifier sees, eV from the spectrum's own half height, in steps of 1.
    kinds : tuple of str
        What the classifier tells apart, in the plural; oxides come first.
    threshold : float
        A larger probability of being no oxide is flagged.
    start : float
        The reconstruction is compared above this energy, eV from the tabulated edge: below
        it most simulated spectra are only a tail.
    poor_fit : float
        A larger root mean square of what the reconstruction leaves is flagged, edge steps.
    """

    aligned: tuple[float, float]
    kinds: tuple[str, ...]
    threshold: float
    start: float
    poor_fit: float


@dataclass(frozen=True, slots=True, eq=False)
class PartialRule:
    """How the part of a spectrum that a growing or a short scan has seen is answered.

    Attributes
    ----------
    grid : EnergyGrid
        Energies that the network sees, eV from the tabulated edge.
    reach : (r,) array
        Energies up to which a scan has come, eV from the tabulated edge, increasing.
    factors : mapping
        By output, (r,): the network's scale times this, with the half-width of the complete
        answer in quadrature, holds measured compounds whose scan ended there.
    thresholds : (r,) array
        A larger probability of being no oxide is flagged.
    values : mapping of MonotoneMap
        By output: from what the network says to what the model says of the same spectrum, where
        the model was calibrated with own standards after the network had learned from it.
    """

    grid: EnergyGrid
    reach: Floats
    factors: Mapping[str, Floats]
    thresholds: Floats
    values: Mapping[str, MonotoneMap]


@dataclass(frozen=True, slots=True)
class OwnStandards:
    """What a calibrated model was fitted to: standards that a beamline measured itself.

    `parent` is the id of the model that was fitted; `range` spans the known values.
    """

    parent: str
    range: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """A checked card.json.

    `raw` is the whole card, with keys that the runtime does not use (data, scores, training).
    `trained_for` holds the kinds of `SPECTRA` that the model was trained on beside plain
    absorption; empty for plain absorption only. `own` is None for a model as it was trained,
    `partial` for one that answers complete spectra only.
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
    own: OwnStandards | None = None
    partial: PartialRule | None = None

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
            theory_shift=_theory_shift(raw["theory_shift"]),
            members=members,
            latent=latent,
            outputs=outputs,
            domain=_domain(raw["domain"]),
            raw=raw,
            trained_for=_trained_for(raw),
            own=_own(raw["own_standards"]) if "own_standards" in raw else None,
            partial=_partial(raw["partial"], outputs) if "partial" in raw else None,
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
        calibration=_calibration(item["calibration"]),
        evidence=str(item["evidence"]),
        per_ev=float(item["per_ev"]),
        levels=tuple(Level(float(v["value"]), int(v["compounds"])) for v in item["levels"]),
        unsupported_half=float(item["unsupported_half"]),
    )


def _own(item: dict[str, Any]) -> OwnStandards:
    low, high = map(float, item["range"])
    if not low <= high:
        raise ValueError("own_standards' range must not decrease")
    return OwnStandards(str(item["parent"]["id"]), (low, high))


def _partial(item: dict[str, Any], outputs: tuple[Output, ...]) -> PartialRule:
    reach = np.asarray(item["reach"], dtype=float)
    factors = {out.name: np.asarray(item["factors"][out.name], dtype=float) for out in outputs}
    if reach.ndim != 1 or not reach.size or np.any(np.diff(reach) <= 0):
        raise ValueError("partial's reach must increase")
    for name, each in factors.items():
        if each.shape != reach.shape or not np.all(each > 0.0):
            raise ValueError(f"partial's factors of {name} must be positive, one for each reach")
    thresholds = np.asarray(item["thresholds"], dtype=float)
    if thresholds.shape != reach.shape:
        raise ValueError("partial needs a threshold for each reach")
    values = {
        str(name): MonotoneMap(np.asarray(m["latent"], float), np.asarray(m["value"], float))
        for name, m in item.get("values", {}).items()
    }
    for name, each in values.items():
        if each.latent.shape != each.value.shape or np.any(np.diff(each.latent) <= 0):
            raise ValueError(f"partial's values of {name} must increase")
    return PartialRule(EnergyGrid(**item["grid"]), reach, factors, thresholds, values)


def _trained_for(raw: dict[str, Any]) -> frozenset[str]:
    for kind in SPECTRA:
        if not isinstance(raw.get(kind, False), bool):
            raise ValueError(f"{kind} is {raw[kind]!r}, must be true or false")
    return frozenset(kind for kind in SPECTRA if raw.get(kind))


def _calibration(item: dict[str, Any]) -> MonotoneMap:
    whole = np.asarray(item["whole"], dtype=float)
    half = np.asarray(item["half"], dtype=float)
    if whole.shape != half.shape or whole.ndim != 1 or not whole.size:
        raise ValueError("a calibration needs as many half-widths as whole ones, at least one")
    if (
        min(whole.min(), half.min()) <= 0
        or np.any(np.diff(whole) <= 0)
        or np.any(np.diff(half) < 0)
    ):
        raise ValueError("a calibration's half-widths must be positive and not decrease")
    return MonotoneMap(whole, half)


def _theory_shift(item: dict[str, Any]) -> TheoryShift:
    moved = {str(valence): float(by) for valence, by in item["moved"].items()}
    return TheoryShift(float(item["value"]), float(item["uncertainty"]), moved)


def _domain(item: dict[str, Any]) -> DomainRule:
    start, stop = map(float, item["aligned"])
    kinds = tuple(map(str, item["kinds"]))
    if stop <= start or len(kinds) < 2:
        raise ValueError("domain needs aligned energies that increase, and two kinds or more")
    return DomainRule(
        aligned=(start, stop),
        kinds=kinds,
        threshold=float(item["threshold"]),
        start=float(item["start"]),
        poor_fit=float(item["poor_fit"]),
    )
