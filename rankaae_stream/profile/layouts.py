"""Define the settings of each kind of layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from rankaae_stream.files.pizzabox import APB_CHANNELS
from rankaae_stream.layouts.base import Layout
from rankaae_stream.layouts.fly import FlyLayout
from rankaae_stream.layouts.pizzabox import Frames, Monochromator, PizzaboxLayout
from rankaae_stream.layouts.plugged import plugged_layout
from rankaae_stream.layouts.step import Role, StepLayout
from rankaae_stream.layouts.tes import TesLayout
from rankaae_stream.profile.table import Table
from rankaae_stream.spectrum import Limits

__all__ = ["KINDS", "LayoutSettings"]


class LimitSettings(Table):
    """The range in which a detector can be trusted; see `spectrum.Limits`."""

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


class _LayoutTable(Table):
    """A table ``[layout]``: folders of files and limits that raise flags change no number."""

    NEVER = ("allowed_roots", "root_map", "limits")
    MAKES: ClassVar[type[Any]]

    def build(self) -> Layout:
        """Return the layout that these settings describe."""
        plain = self.model_dump(exclude={"kind", "limits"})
        return self.MAKES(**plain, limits=_limits(getattr(self, "limits", {})))


class _NamedSignals(_LayoutTable):
    """Data keys by role; of several the first that a run has is used."""

    ALWAYS = ("kind", "stream", "energy", "i0", "it", "ir", "fluorescence")

    stream: str = "primary"
    energy: tuple[str, ...] = ()
    i0: tuple[str, ...] = ()
    it: tuple[str, ...] = ()
    ir: tuple[str, ...] = ()
    pips: tuple[str, ...] = ()
    limits: _Limited = {}


class StepSettings(_NamedSignals):
    """Fields of a step scan; see `layouts.step.StepLayout`."""

    MAKES = StepLayout

    kind: Literal["step"] = "step"
    fluorescence: tuple[str, ...] | tuple[tuple[str, ...], ...] = ()
    fluorescence_from: tuple[str, ...] = ()
    dwell: tuple[str, ...] = ()
    integrated: tuple[Role, ...] = ()
    offsets: dict[str, str] = {}

    @model_validator(mode="after")
    def _whole(self) -> "StepSettings":
        if bool(self.dwell) != bool(self.integrated):
            raise ValueError(
                "dwell and integrated go together: the field with the exposure, and the signals "
                "that grow with it"
            )
        return self


class TesSettings(_NamedSignals):
    """Fields of scans that arrive whole; see `layouts.tes.TesLayout`."""

    ALWAYS = (*_NamedSignals.ALWAYS, "energy_stream", "pips")
    MAKES = TesLayout

    kind: Literal["tes"]
    energy_stream: str = "energy_bins"
    energy: tuple[str, ...] = ("E_centers",)
    i0: tuple[str, ...] = ("I0",)
    fluorescence: tuple[str, ...] = ()


class FlySettings(_NamedSignals):
    """Fields of an ophyd-async fly scan; see `layouts.fly.FlyLayout`."""

    ALWAYS = (*_NamedSignals.ALWAYS, "pips")
    MAKES = FlyLayout

    kind: Literal["fly"]
    fluorescence: tuple[str, ...] = ()
    allowed_roots: Annotated[tuple[str, ...], Field(min_length=1)]
    root_map: dict[str, str] = {}


class FramesSettings(Table):
    """A triggered detector; see `layouts.pizzabox.Frames`."""

    ALWAYS = ("channel",)
    NEVER = ("highest",)

    channel: Literal["fluorescence", "pips"] = "fluorescence"
    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    trigger: str
    highest: Annotated[float, Field(gt=0)] = float("inf")


_ELECTROMETER = LimitSettings(low=20.0, high=3200.0, unit="mV")
"""Below, its offset matters; above, it no longer follows."""


class PizzaboxSettings(_LayoutTable):
    """Files and constants of a fly scan; see `layouts.pizzabox.PizzaboxLayout`.

    `i0` ... `pips` name inputs of the electrometer; an empty name is a channel
    that the beamline does not have.
    """

    ALWAYS = (
        *("kind", "analog", "encoder", "i0", "it", "ir", "fluorescence", "pips", "frames"),
        *("pulses_per_degree", "d_spacing", "hc", "angle_offset", "offset", "gain"),
    )

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

    def analysis(self) -> dict[str, Any]:
        """Return what `Table.analysis` does, with the frames by the same rule."""
        return super().analysis() | {"frames": [item.analysis() for item in self.frames]}

    def build(self) -> Layout:
        """Return the layout that these settings describe."""
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


KINDS: Mapping[str, type[Table]] = {
    "step": StepSettings,
    "tes": TesSettings,
    "fly": FlySettings,
    "pizzabox": PizzaboxSettings,
}
"""Kinds of layout that need no other package."""


class PluggedSettings(_LayoutTable):
    """A layout of another package, which alone knows its keys; see `layouts.plugged`."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    kind: str

    @model_validator(mode="after")
    def _fits(self) -> "PluggedSettings":
        self.build()  # so that misspelt keys are errors at start-up here too
        return self

    def build(self) -> Layout:
        """Return the layout that these settings describe."""
        return plugged_layout(self.kind, self.model_dump(exclude={"kind"}), tuple(KINDS))


def _kind(value: Any) -> str:
    """Return the kind of a table; one without a kind is a step scan."""
    if isinstance(value, Mapping):
        kind = cast("Mapping[str, Any]", value).get("kind", "step")
    else:
        kind = getattr(value, "kind", "")
    return kind if kind in tuple(KINDS) else "plugged"  # whatever it is: a list has no hash


LayoutSettings = Annotated[
    Annotated[StepSettings, Tag("step")]
    | Annotated[TesSettings, Tag("tes")]
    | Annotated[FlySettings, Tag("fly")]
    | Annotated[PizzaboxSettings, Tag("pizzabox")]
    | Annotated[PluggedSettings, Tag("plugged")],
    Discriminator(_kind),
]
"""One kind of scan, by its `kind`."""
