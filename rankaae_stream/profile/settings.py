"""Define the tables for runs, foils, results and models."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field, FiniteFloat, field_validator

from rankaae_stream.addresses import read_server
from rankaae_stream.documents.rules import Exclusion, RunRules
from rankaae_stream.documents.together import GROUPED_BY, SeriesRules
from rankaae_stream.model.card import SPECTRA
from rankaae_stream.profile.environment import API_KEY_VARIABLE
from rankaae_stream.profile.table import Table
from rankaae_stream.spectra.axis import AxisRules
from rankaae_stream.spectrum import NormalizationRanges

__all__ = [
    "EnergySettings",
    "ModelSettings",
    "NormalizationSettings",
    "RunSettings",
    "SeriesSettings",
    "TiledSettings",
]


class RunSettings(Table):
    """Which runs are XAS, which of their keys hold the edge, and what a result copies."""

    ALWAYS = ("element",)
    NEVER = ("channel", "primary", "copy_keys")

    element: tuple[str, ...] = ("element",)
    edge: tuple[str, ...] = ("edge",)
    channel: tuple[str, ...] = ()
    primary: Literal["transmission", "fluorescence", "pips"] = "transmission"
    xas: tuple[dict[str, Any], ...] = ()
    not_xas: tuple[dict[str, Any], ...] = ()
    others: Literal["refuse", "skip"] = "refuse"
    copy_keys: Annotated[tuple[str, ...], Field(alias="copy")] = ()

    @field_validator("xas", "not_xas")
    @classmethod
    def _as_tables(cls, rules: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """Nest dotted keys: ``"XDI._mode" = ...`` and a table ``[XDI]`` are the same."""
        return tuple(
            {key: value for key, value in rule.items() if key in _NO_PATTERNS}
            | _nested(_flat(_patterns(rule)))
            for rule in rules
        )

    @field_validator("not_xas")
    @classmethod
    def _is_whole(cls, rules: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for rule in rules:
            if not isinstance(rule.get("skip", False), bool):
                raise ValueError(f"skip is {rule['skip']!r}; set it to true or false")
            if not isinstance(rule.get("reason", ""), str):
                raise ValueError(f"reason is {rule['reason']!r}; set it to a text")
            if rule.get("unless_model", SPECTRA[0]) not in SPECTRA:
                raise ValueError(
                    f"unless_model is {rule['unless_model']!r}; set it to a kind of spectra that a "
                    f"model's card can have: {' or '.join(SPECTRA)}"
                )
        return rules

    def build(self) -> RunRules:
        """Return the rules that these settings describe."""
        return RunRules(
            self.element,
            self.edge,
            self.channel,
            self.primary,
            tuple(_flat(_patterns(rule)) for rule in self.xas),
            tuple(
                Exclusion(
                    rule.get("reason", ""),
                    _flat(_patterns(rule)),
                    rule.get("unless_model", ""),
                    rule.get("skip", False),
                )
                for rule in self.not_xas
            ),
            self.others,
        )


_AXIS = AxisRules()


class EnergySettings(Table):
    """How reference foils calibrate the axis; see `spectra.axis.AxisRules`.

    `axis_from` names measured files of known compounds, ``{Cr2O3 = "cr2o3.xdi"}``, by which the
    axis is put right where there is no foil; see `loading.analysis_with`.
    """

    NEVER = ("shift_limit",)

    calibration: Literal["apply", "report"] = "apply"
    axis_sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = _AXIS.sigma
    foil_max_age: Annotated[float, Field(ge=0)] = _AXIS.max_age
    shift_limit: Annotated[float, Field(ge=0)] = _AXIS.limit
    axis_from: dict[str, str] = Field(default_factory=dict[str, str])

    def build(self) -> AxisRules:
        """Return the rules that these settings describe."""
        return AxisRules(
            self.calibration == "apply", self.axis_sigma, self.foil_max_age, self.shift_limit
        )


class SeriesSettings(Table):
    """Which scans make a series, and along which axis; see `documents.together.SeriesRules`.

    Without `publish` scans are answered one by one only.
    """

    NEVER = ("publish", "group", "gap", "stop_at", "against")

    publish: bool = True
    group: tuple[str | tuple[str, ...], ...] = GROUPED_BY
    gap: Annotated[float, Field(gt=0)] = 2.0
    stop_at: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    against: tuple[str, ...] = ()

    def build(self) -> SeriesRules:
        """Return the rules that these settings describe."""
        group = tuple((keys,) if isinstance(keys, str) else keys for keys in self.group)
        return SeriesRules(group, self.gap, self.stop_at, self.against)


class TiledSettings(Table):
    """The Tiled server that takes results."""

    uri: str = "http://127.0.0.1:8000"
    node: str = "processed"

    @field_validator("uri")
    @classmethod
    def _is_server(cls, uri: str) -> str:
        read_server(uri, API_KEY_VARIABLE, "tiled.uri of the profile")
        return uri


class ModelSettings(Table):
    """A model to use for an edge in place of the newest shipped one."""

    path: str
    id: str


_RANGES = NormalizationRanges()


class NormalizationSettings(Table):
    """Normalisation ranges; they must equal the model card's."""

    pre1: FiniteFloat = _RANGES.pre1
    pre2: FiniteFloat = _RANGES.pre2
    norm1: FiniteFloat = _RANGES.norm1
    norm2: FiniteFloat = _RANGES.norm2
    npre: int = _RANGES.npre
    nnorm: int = _RANGES.nnorm


_NO_PATTERNS = ("reason", "unless_model", "skip")
"""Keys of a rule itself; all others are the start document's."""


def _patterns(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rule.items() if key not in _NO_PATTERNS}


def _flat(rule: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[str, ...]]:
    """Return a rule's patterns by dotted key."""
    flat: dict[str, tuple[str, ...]] = {}
    for key, value in rule.items():
        if isinstance(value, Mapping):
            flat.update(_flat(cast("Mapping[str, Any]", value), f"{prefix}{key}."))
            continue
        patterns = cast("Sequence[Any]", value if isinstance(value, (list, tuple)) else (value,))
        if not patterns or not all(isinstance(item, (str, int, float)) for item in patterns):
            raise ValueError(
                f"{prefix}{key} must be a text, or a list of texts of which one must fit"
            )
        flat[f"{prefix}{key}"] = tuple(str(item) for item in patterns)
    return flat


def _nested(flat: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the same as tables: published documents have no dots in their keys."""
    nested: dict[str, Any] = {}
    for key, patterns in flat.items():
        *tables, last = key.split(".")
        table = nested
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = list(patterns)
    return nested
