"""One beamline's settings: the only reader of configuration.

A profile is a TOML file. Order of precedence: what the program passes, the
environment (``RANKAAE_STREAM_*``, nested keys with two underscores), the file,
the defaults below. Misspelt keys are errors. Secrets come from the environment
only and are never part of what is published.
"""

import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from rankaae_stream import resources
from rankaae_stream.card import SPECTRA
from rankaae_stream.choose import Choice, Exclusion
from rankaae_stream.energy import AxisRules
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.pizzabox import APB_CHANNELS
from rankaae_stream.layouts.base import Layout
from rankaae_stream.layouts.fly import FlyLayout
from rankaae_stream.layouts.pizzabox import Frames, Monochromator, PizzaboxLayout
from rankaae_stream.layouts.plugged import plugged_layout
from rankaae_stream.layouts.several import SeveralLayouts
from rankaae_stream.layouts.step import Role, StepLayout
from rankaae_stream.layouts.tes import TesLayout
from rankaae_stream.spectrum import Limits, NormalizationRanges

__all__ = ["Profile", "load_profile", "reading_under"]

API_KEY_VARIABLE = "RANKAAE_STREAM_TILED_API_KEY"
PREFIX = "RANKAAE_STREAM_"

STANDARD_COPY = (
    "data_session",
    "tiled_access_tags",
    "proposal",
    "cycle",
    "scan_id",
    "sample_name",
    "sample_uid",
    "scan_group_uid",
    "scan_name",
)
"""Start keys that every result copies from its raw run, where they are there."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitSettings(_Table):
    """Between which a detector can be trusted; see `spectrum.Limits`."""

    low: Annotated[float, Field(ge=0)] = 0.0
    high: Annotated[float, Field(gt=0)] = float("inf")
    unit: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> "LimitSettings":
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must be less")
        return self


_Limited = dict[Role, LimitSettings]


def _limits(settings: _Limited) -> dict[str, Limits]:
    return {role: Limits(item.low, item.high, item.unit) for role, item in settings.items()}


class StepSettings(_Table):
    """Fields of a step scan; see `layouts.step.StepLayout`."""

    # Settings that came later, and at these defaults change no number: results
    # of a profile that does not use them keep their uid.
    LATER: ClassVar[tuple[str, ...]] = (
        "fluorescence_from",
        "pips",
        "dwell",
        "integrated",
        "offsets",
    )

    kind: Literal["step"] = "step"
    stream: str = "primary"
    energy: tuple[str, ...] = ()
    i0: tuple[str, ...] = ()
    it: tuple[str, ...] = ()
    ir: tuple[str, ...] = ()
    fluorescence: tuple[str, ...] | tuple[tuple[str, ...], ...] = ()
    fluorescence_from: tuple[str, ...] = ()
    pips: tuple[str, ...] = ()
    dwell: tuple[str, ...] = ()
    integrated: tuple[Role, ...] = ()
    offsets: dict[str, str] = {}
    limits: _Limited = {}

    @model_validator(mode="after")
    def _whole(self) -> "StepSettings":
        if bool(self.dwell) != bool(self.integrated):
            raise ValueError(
                "dwell and integrated go together: the field with the exposure, and the signals "
                "that grow with it"
            )
        return self

    def build(self) -> Layout:
        """The layout these settings describe."""
        plain = self.model_dump(exclude={"kind", "limits"})
        return StepLayout(**plain, limits=_limits(self.limits))


class TesSettings(_Table):
    """Fields of scans that arrive whole; see `layouts.tes.TesLayout`."""

    kind: Literal["tes"]
    stream: str = "primary"
    energy_stream: str = "energy_bins"
    energy: tuple[str, ...] = ("E_centers",)
    i0: tuple[str, ...] = ("I0",)
    it: tuple[str, ...] = ()
    ir: tuple[str, ...] = ()
    fluorescence: tuple[str, ...] = ()
    pips: tuple[str, ...] = ()
    limits: _Limited = {}

    def build(self) -> Layout:
        """The layout these settings describe."""
        plain = self.model_dump(exclude={"kind", "limits"})
        return TesLayout(**plain, limits=_limits(self.limits))


class FlySettings(_Table):
    """Fields of an ophyd-async fly scan; see `layouts.fly.FlyLayout`."""

    kind: Literal["fly"]
    stream: str = "primary"
    energy: tuple[str, ...] = ()
    i0: tuple[str, ...] = ()
    it: tuple[str, ...] = ()
    ir: tuple[str, ...] = ()
    fluorescence: tuple[str, ...] = ()
    pips: tuple[str, ...] = ()
    allowed_roots: Annotated[tuple[str, ...], Field(min_length=1)]
    root_map: dict[str, str] = {}
    limits: _Limited = {}

    def build(self) -> Layout:
        """The layout these settings describe."""
        plain = self.model_dump(exclude={"kind", "limits"})
        return FlyLayout(**plain, limits=_limits(self.limits))


class FramesSettings(_Table):
    """A triggered detector; see `layouts.pizzabox.Frames`."""

    channel: Literal["fluorescence", "pips"] = "fluorescence"
    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    trigger: str
    highest: Annotated[float, Field(gt=0)] = float("inf")


_ELECTROMETER = LimitSettings(low=20.0, high=3200.0, unit="mV")
"""Where its offset matters, and where it no longer follows."""


class PizzaboxSettings(_Table):
    """Files and constants of a fly scan; see `layouts.pizzabox.PizzaboxLayout`.

    `i0` ... `pips` name inputs of the electrometer; an empty name is a channel
    that the beamline has not.
    """

    kind: Literal["pizzabox"]
    analog: Annotated[tuple[str, ...], Field(min_length=1)]
    encoder: Annotated[tuple[str, ...], Field(min_length=1)]
    i0: str = "i0"
    it: str = "it"
    ir: str = "ir"
    fluorescence: str = "iff"
    pips: str = ""
    pulses_per_degree: Annotated[float, Field(gt=0)]
    d_spacing: Annotated[float, Field(gt=0)]
    hc: Annotated[float, Field(gt=0)] = 12398.42
    angle_offset: str = "angle_offset"
    offset: str = ""
    gain: str = ""
    frames: tuple[FramesSettings, ...] = ()
    allowed_roots: Annotated[tuple[Path, ...], Field(min_length=1)]
    root_map: dict[str, str] = {}
    limits: _Limited = dict.fromkeys(get_args(Role), _ELECTROMETER)

    @field_validator("i0", "it", "ir", "fluorescence", "pips")
    @classmethod
    def _is_input(cls, name: str) -> str:
        if name and name not in APB_CHANNELS:
            raise ValueError(f"the electrometer's inputs are {', '.join(APB_CHANNELS)}")
        return name

    def build(self) -> Layout:
        """The layout these settings describe."""
        return PizzaboxLayout(
            self.analog,
            self.encoder,
            {
                role: getattr(self, role)
                for role in ("i0", "it", "ir", "fluorescence", "pips")
                if getattr(self, role)
            },
            Monochromator(self.pulses_per_degree, self.d_spacing, self.hc),
            self.angle_offset,
            self.offset,
            self.gain,
            tuple(
                Frames(item.channel, item.keys, item.trigger, item.highest) for item in self.frames
            ),
            self.allowed_roots,
            self.root_map,
            _limits(self.limits),
        )


KINDS: Mapping[str, type[_Table]] = {
    "step": StepSettings,
    "tes": TesSettings,
    "fly": FlySettings,
    "pizzabox": PizzaboxSettings,
}
"""Kinds of layout that need no other package."""


class PluggedSettings(BaseModel):
    """A layout of another package, which alone knows its keys; see `layouts.plugged`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str

    @model_validator(mode="after")
    def _fits(self) -> "PluggedSettings":
        self.build()  # misspelt keys are told at start-up here too
        return self

    def build(self) -> Layout:
        """The layout these settings describe."""
        return plugged_layout(self.kind, self.model_dump(exclude={"kind"}), tuple(KINDS))


def _layout_kind(value: Any) -> str:
    """A layout that does not say what it is, is a step scan."""
    kind = value.get("kind", "step") if isinstance(value, Mapping) else getattr(value, "kind", "")
    return kind if kind in tuple(KINDS) else "plugged"  # whatever it is: a list has no hash


LayoutSettings = Annotated[
    Annotated[StepSettings, Tag("step")]
    | Annotated[TesSettings, Tag("tes")]
    | Annotated[FlySettings, Tag("fly")]
    | Annotated[PizzaboxSettings, Tag("pizzabox")]
    | Annotated[PluggedSettings, Tag("plugged")],
    Discriminator(_layout_kind),
]
"""One kind of scan; `kind` tells which."""


def _how_many(value: Any) -> str:
    return "several" if isinstance(value, (list, tuple)) else "single"


class RunSettings(_Table):
    """Which runs are XAS, what they say about themselves, and what a result repeats."""

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
        """``"XDI._mode" = ...`` and a table ``[XDI]`` are the same."""
        return tuple(
            {key: str(value) for key, value in rule.items() if key in _NO_PATTERNS}
            | _nested(_flat(_patterns(rule)))
            for rule in rules
        )

    @field_validator("not_xas")
    @classmethod
    def _knows_kind(cls, rules: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for rule in rules:
            if rule.get("unless_model", SPECTRA[0]) not in SPECTRA:
                raise ValueError(
                    f"unless_model is {rule['unless_model']!r}; a model's card can say "
                    f"{' or '.join(SPECTRA)}"
                )
        return rules

    def build(self) -> Choice:
        """The choice these settings describe."""
        return Choice(
            self.element,
            self.edge,
            self.channel,
            self.primary,
            tuple(_flat(_patterns(rule)) for rule in self.xas),
            tuple(
                Exclusion(
                    rule.get("reason", ""), _flat(_patterns(rule)), rule.get("unless_model", "")
                )
                for rule in self.not_xas
            ),
            self.others,
        )

    def analysis(self) -> dict[str, Any]:
        """What can change a number or decide whether there is one, where it is not the default."""
        return {
            key: value
            for key, value in self.model_dump(mode="json", exclude_defaults=True).items()
            if key in ("edge", "xas", "not_xas", "others")
        }


_AXIS = AxisRules()


class EnergySettings(_Table):
    """What becomes of reference foils; see `energy.AxisRules`."""

    calibration: Literal["apply", "report"] = "apply"
    axis_sigma: Annotated[float, Field(gt=0)] = _AXIS.sigma
    foil_max_age: Annotated[float, Field(ge=0)] = _AXIS.max_age
    shift_limit: Annotated[float, Field(ge=0)] = _AXIS.limit

    def build(self) -> AxisRules:
        """The rules these settings describe."""
        return AxisRules(
            self.calibration == "apply", self.axis_sigma, self.foil_max_age, self.shift_limit
        )

    def analysis(self) -> dict[str, Any]:
        """What can change a number, where it is not the default."""
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude={"shift_limit"})
        return {"energy": changed} if changed else {}


class TiledSettings(_Table):
    """Where results go."""

    uri: str = "http://127.0.0.1:8000"
    node: str = "processed"


class ModelSettings(_Table):
    """A model other than the newest shipped one of its edge."""

    path: str
    id: str


_RANGES = NormalizationRanges()


class NormalizationSettings(_Table):
    """Normalisation ranges; they must equal the model card's."""

    pre1: float = _RANGES.pre1
    pre2: float = _RANGES.pre2
    norm1: float = _RANGES.norm1
    norm2: float = _RANGES.norm2
    npre: int = _RANGES.npre
    nnorm: int = _RANGES.nnorm


class Profile(BaseSettings):
    """One beamline's settings, frozen.

    Attributes
    ----------
    name : str
    layout : StepSettings, TesSettings ..., or several of them
        How documents become mu(E); of several the one that fits a run reads it.
    run : RunSettings
    energy : EnergySettings
    tiled : TiledSettings
    models : dict of ModelSettings
        By edge, ``{"Fe K": {path = ..., id = ...}}``: a model of your own, pinned
        by the sha256 of its card.
    normalization : NormalizationSettings or None
        Stated for the record; a difference from a card is an error at start-up.
    provisional_interval : float
        Seconds between answers on a scan that is still growing.
    stop_deadline : float
        Seconds without a document after which a run counts as one without a stop.
    file_deadline : float
        Seconds after its end for which a run waits for its files.
    spool : Path
        Folder where every final result is written before it is published.
    inbox_megabytes : int
        Bound on the documents waiting.
    device : {"auto", "cpu", "cuda"}
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    name: str
    layout: Annotated[
        Annotated[LayoutSettings, Tag("single")]
        | Annotated[tuple[LayoutSettings, ...], Field(min_length=1), Tag("several")],
        Discriminator(_how_many),
    ]
    run: RunSettings = RunSettings()
    energy: EnergySettings = EnergySettings()
    tiled: TiledSettings = TiledSettings()
    models: dict[str, ModelSettings] = {}
    normalization: NormalizationSettings | None = None
    provisional_interval: Annotated[float, Field(ge=0.5)] = 0.5
    stop_deadline: Annotated[float, Field(gt=0)] = 900.0
    file_deadline: Annotated[float, Field(gt=0)] = 20.0
    spool: Path = Path("~/.local/state/rankaae-stream/spool")
    inbox_megabytes: Annotated[int, Field(gt=0)] = 256
    device: Literal["auto", "cpu", "cuda"] = "auto"
    tiled_api_key: SecretStr | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the program passes, then the environment, then the file."""
        del env_settings, dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls)
        return init_settings, _FileAndEnvironment(settings_cls), file

    def api_key(self) -> str:
        """The Tiled key.

        Raises
        ------
        ConfigurationError
            When the environment has none.
        """
        if self.tiled_api_key is None or not self.tiled_api_key.get_secret_value():
            raise ConfigurationError(
                f"no key for Tiled at {self.tiled.uri}; set it in the environment: "
                f"export {API_KEY_VARIABLE}=..."
            )
        return self.tiled_api_key.get_secret_value()

    def build_layout(self) -> Layout:
        """The layout, or all of them as one."""
        if isinstance(self.layout, tuple):
            return SeveralLayouts([layout.build() for layout in self.layout])
        return self.layout.build()

    def analysis(self) -> dict[str, Any]:
        """The settings that can change a number, as plain data.

        Sinks, folders, bounds and keys are not among them: the same run gives
        the same result wherever it is sent.
        """
        layouts = self.layout if isinstance(self.layout, tuple) else (self.layout,)
        plain = [_analysis_of(layout) for layout in layouts]
        return {
            "layout": plain if len(plain) > 1 else plain[0],
            "element": list(self.run.element),
            **self.run.analysis(),
            **self.energy.analysis(),
            "models": {edge: model.id for edge, model in sorted(self.models.items())},
        }

    def analysis_hash(self) -> str:
        """sha256 of `analysis`, part of every result's uid."""
        return hashlib.sha256(json.dumps(self.analysis(), sort_keys=True).encode()).hexdigest()

    def published(self) -> dict[str, Any]:
        """The resolved profile as a result names it, without the key."""
        return self.model_dump(mode="json", by_alias=True, exclude={"tiled_api_key", "spool"})

    def copied_keys(self) -> tuple[str, ...]:
        """Start keys that go from the raw run into the result."""
        return tuple(dict.fromkeys((*STANDARD_COPY, *self.run.copy_keys)))


def load_profile(name_or_path: str | Path, **overrides: Any) -> Profile:
    """Read a profile.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped profile's name, such as ``sim``, or the path of a TOML file.
    **overrides
        Settings that stand above environment and file.

    Raises
    ------
    ConfigurationError
        When it does not exist or a key is misspelt or has a wrong value.
    """
    path = _find(name_or_path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot read profile {path}: {error}") from error
    if "tiled_api_key" in values:
        raise ConfigurationError(
            f"{path} holds a key; take it out and set it in the environment: "
            f"export {API_KEY_VARIABLE}=..."
        )

    class FromFile(Profile):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{_where(item['loc'])}: {_advice(item)}" for item in error.errors())
        raise ConfigurationError(f"profile {path}: {problems}") from error
    except SettingsError as error:
        said = str(error).split(" from source")[0]
        raise ConfigurationError(
            f"profile {path}: {said}; in the environment lists and tables are JSON, such as "
            f"""{PREFIX}LAYOUT__I0='["I0"]'"""
        ) from error


def reading_under(name_or_path: str | Path, folder: Path | str, **overrides: Any) -> Profile:
    """Read a profile whose scans' files may lie in one folder only, whatever it says itself.

    The parameters are those of `load_profile`.
    """
    layouts = load_profile(name_or_path, **overrides).layout
    moved = [
        layout.model_dump() for layout in (layouts if isinstance(layouts, tuple) else (layouts,))
    ]
    for layout in moved:
        if "allowed_roots" in layout:
            layout["allowed_roots"] = [str(folder)]
    return load_profile(name_or_path, **{**overrides, "layout": moved})


class _FileAndEnvironment(EnvSettingsSource):
    """The file's settings with the environment's above them, place by place.

    pydantic-settings lays one source over another table by table, and would take
    what is said of one of several ``[[layout]]`` for all of them.
    """

    def __call__(self) -> dict[str, Any]:
        settings = TomlConfigSettingsSource(self.settings_cls)()
        for key, value in super().__call__().items():
            known = settings.get(key)
            settings[key] = value if known is None else _over(known, value, (key,))
        return settings


def _over(below: Any, above: Any, where: tuple[str, ...]) -> Any:
    """The settings `below` with those of the environment above."""
    above = _decoded(above)
    if not isinstance(above, Mapping) or not isinstance(below, (Mapping, list)):
        return above
    if isinstance(below, Mapping):
        if set(above) == {"0"}:  # the only one of its kind is the first
            return _over(below, above["0"], where)
        return {**below, **{k: _over(below.get(k), v, (*where, k)) for k, v in above.items()}}
    merged = list(below)
    for key, value in above.items():
        if not key.isdecimal() or int(key) >= len(below):
            name = "__".join(part.upper() for part in (*where, key))
            first = "__".join(part.upper() for part in (*where, "0", key))
            fix = f"say which: {PREFIX}{first} for the first"
            if key.isdecimal():
                fix = f"they are counted from 0 to {len(below) - 1}"
            raise ConfigurationError(
                f"{PREFIX}{name} is set, and the profile has {len(below)} tables "
                f"[[{'.'.join(where)}]]; {fix}"
            )
        merged[int(key)] = _over(below[int(key)], value, (*where, key))
    return merged


def _decoded(value: Any) -> Any:
    """Lists and tables are JSON in the environment; a text that only looks so stays one."""
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _where(location: tuple[int | str, ...]) -> str:
    """Dotted key of a validation error, without the names of the alternatives tried."""
    tried = {"single", "several", "plugged", *KINDS}
    return ".".join(str(part) for part in location if part not in tried)


def _analysis_of(layout: BaseModel) -> dict[str, Any]:
    """A layout's settings that can change a number."""
    plain = layout.model_dump(mode="json")
    for name in getattr(layout, "LATER", ()):
        if not plain[name]:
            del plain[name]
    # Where files lie changes no number, nor does what is flagged.
    for name in ("allowed_roots", "root_map", "limits"):
        plain.pop(name, None)
    if isinstance(layout, PizzaboxSettings):
        for frames in plain["frames"]:
            frames.pop("highest")
    return plain


_NO_PATTERNS = ("reason", "unless_model")
"""Keys of a rule that say something of it; all others are the start document's."""


def _patterns(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rule.items() if key not in _NO_PATTERNS}


def _flat(rule: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[str, ...]]:
    """A rule's patterns by dotted key."""
    flat: dict[str, tuple[str, ...]] = {}
    for key, value in rule.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
            continue
        patterns = value if isinstance(value, (list, tuple)) else (value,)
        if not patterns or not all(isinstance(item, (str, int, float)) for item in patterns):
            raise ValueError(f"{prefix}{key} must be a text, or a list of texts, one of which fits")
        flat[f"{prefix}{key}"] = tuple(str(item) for item in patterns)
    return flat


def _nested(flat: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The same as tables: published documents have no dots in their keys."""
    nested: dict[str, Any] = {}
    for key, patterns in flat.items():
        *tables, last = key.split(".")
        table = nested
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = list(patterns)
    return nested


def _find(name_or_path: str | Path) -> Path:
    shipped = resources.folder("profiles")
    names = sorted(path.stem for path in shipped.glob("*.toml"))
    if isinstance(name_or_path, str) and name_or_path in names:
        return shipped / f"{name_or_path}.toml"
    path = Path(os.path.expanduser(name_or_path))
    if path.is_file():
        return path
    raise ConfigurationError(
        f"no profile {str(name_or_path)!r}: neither a file nor one of the shipped profiles "
        f"({', '.join(names)})"
    )


def _advice(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        # Under a layout only its own keys help; elsewhere those of any table do.
        tables = [KINDS[part] for part in item["loc"] if part in KINDS]
        tables = tables or [Profile, *_Table.__subclasses__()]
        known = {one.alias or name for table in tables for name, one in table.model_fields.items()}
        wrong = str(item["loc"][-1])
        near = difflib.get_close_matches(wrong, known - {wrong}, n=1)
        return f"no such setting here; {f'did you mean {near[0]}?' if near else 'is it misspelt?'}"
    return str(item["msg"])
