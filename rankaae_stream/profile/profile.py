"""Combine all settings of one beamline in one object."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BaseModel, Discriminator, Field, SecretStr, Tag, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from rankaae_stream.addresses import refuse_secret
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Layout
from rankaae_stream.layouts.several import SeveralLayouts
from rankaae_stream.profile.environment import API_KEY_VARIABLE, PREFIX, FileAndEnvironment
from rankaae_stream.profile.layouts import LayoutSettings
from rankaae_stream.profile.settings import (
    EnergySettings,
    ModelSettings,
    NormalizationSettings,
    RunSettings,
    SeriesSettings,
    TiledSettings,
)

__all__ = ["Profile"]

STANDARD_COPY = (
    "data_session",
    "tiled_access_tags",
    "proposal",
    "cycle",
    "scan_id",
    "sample_name",
    "sample",
    "Sample",
    "sample_id",
    "sample_uid",
    "title",
    "comment",
    "scan_group_uid",
    "scan_name",
)
"""Start keys that every result copies from its raw run, where they are there."""


def _how_many(value: Any) -> str:
    return "several" if isinstance(value, (list, tuple)) else "single"


def _texts(settings: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in the settings with its dotted key."""
    if isinstance(settings, BaseModel):
        settings = dict(settings)
    if isinstance(settings, str | Path):
        yield where, str(settings)
    elif isinstance(settings, Mapping):
        for key, value in cast("Mapping[Any, Any]", settings).items():
            yield where, str(key)
            yield from _texts(value, f"{where}.{key}" if where else str(key))
    elif isinstance(settings, list | tuple):
        for value in cast("Sequence[Any]", settings):
            yield from _texts(value, where)


class Profile(BaseSettings):
    """One beamline's settings, frozen.

    Attributes
    ----------
    name : str
    layout : StepSettings, TesSettings ..., or several of them
        How documents become mu(E); a run is read by the first layout that fits it.
    run : RunSettings
    energy : EnergySettings
    series : SeriesSettings
    tiled : TiledSettings
    models : dict of ModelSettings
        By edge, ``{"Fe K": {path = ..., id = ...}}``: a model of your own, pinned
        by the sha256 of its card.
    normalization : NormalizationSettings or None
        For the record only; a difference from a model's card is an error at start-up.
    provisional_interval : float
        Seconds between answers on a scan that is still growing.
    stop_deadline : float
        Seconds without a document after which a run ends without its stop document.
    file_deadline : float
        Seconds after its end for which a run waits for its files, and for events that its stop
        document counts.
    spool : Path
        Folder where every final result is written before it is published.
    inbox_megabytes : int
        Bound on the documents waiting.
    device : {"auto", "cpu", "cuda"}
        Where the models run; ``auto`` is CUDA where it loads, with other last digits than a CPU's.
    isolation : {"thread", "process"}
        Where a live stream analyses: in a thread of the session, or in a process of its own that
        may die without it.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    FILE: ClassVar[Mapping[str, Any]] = {}
    """What the profile's file holds; `reading.load_profile` puts it there."""

    name: str
    layout: Annotated[
        Annotated[LayoutSettings, Tag("single")]
        | Annotated[tuple[LayoutSettings, ...], Field(min_length=1), Tag("several")],
        Discriminator(_how_many),
    ]
    run: RunSettings = RunSettings()
    energy: EnergySettings = EnergySettings()
    series: SeriesSettings = SeriesSettings()
    tiled: TiledSettings = TiledSettings()
    models: dict[str, ModelSettings] = {}
    normalization: NormalizationSettings | None = None
    provisional_interval: Annotated[float, Field(ge=0.5)] = 0.5
    stop_deadline: Annotated[float, Field(gt=0)] = 900.0
    file_deadline: Annotated[float, Field(gt=0)] = 20.0
    spool: Path = Path("~/.local/state/rankaae-stream/spool")
    inbox_megabytes: Annotated[int, Field(gt=0)] = 256
    device: Literal["auto", "cpu", "cuda"] = "auto"
    isolation: Literal["thread", "process"] = "thread"
    tiled_api_key: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, settings: Any) -> Any:
        """Refuse addresses with a key or a password, in any setting: they are published."""
        for where, text in _texts(settings):
            if "://" in text or "%3a" in text.lower():
                refuse_secret(text, API_KEY_VARIABLE, f"{where} of the profile")
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: the program's arguments, then the environment over the file."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, FileAndEnvironment(settings_cls, cls.FILE)

    def api_key(self) -> str:
        """Return the key for Tiled.

        Raises
        ------
        ConfigurationError
            When the environment has none.
        """
        key = self.known_key
        if not key:
            raise ConfigurationError(
                f"no key for Tiled at {self.tiled.uri}; set it in the environment: "
                f"export {API_KEY_VARIABLE}=..."
            )
        return key

    @property
    def known_key(self) -> str | None:
        """The key for Tiled; None where the environment has none."""
        return self.tiled_api_key.get_secret_value() if self.tiled_api_key else None

    @property
    def own_server(self) -> tuple[str, str | None]:
        """Address and key of the results' server: an archive there is opened with that key."""
        return self.tiled.uri, self.known_key

    @property
    def folder_name(self) -> str:
        """The profile's name as a folder beside the spool may have it."""
        return "".join(one if one.isalnum() or one in "-_" else "_" for one in self.name)

    @property
    def layouts(self) -> tuple[LayoutSettings, ...]:
        """Return the tables of all layouts, also of a single one."""
        return self.layout if isinstance(self.layout, tuple) else (self.layout,)

    def build_layouts(self) -> list[Layout]:
        """Return the layouts, in the profile's order."""
        return [layout.build() for layout in self.layouts]

    def build_layout(self) -> Layout:
        """Return the layout, or all of them as one."""
        layouts = self.build_layouts()
        return SeveralLayouts(layouts) if isinstance(self.layout, tuple) else layouts[0]

    def analysis(self) -> dict[str, Any]:
        """Return the settings that can change a number, as plain data.

        Sinks, folders, bounds and keys are not among them: the same run gives
        the same result wherever it is sent.
        """
        plain, energy = [layout.analysis() for layout in self.layouts], self.energy.analysis()
        return {
            "layout": plain if len(plain) > 1 else plain[0],
            **self.run.analysis(),
            **({"energy": energy} if energy else {}),
            "models": {edge: model.id for edge, model in sorted(self.models.items())},
        }

    def analysis_hash(self) -> str:
        """Return the sha256 of `analysis`, part of every result's uid."""
        return hashlib.sha256(json.dumps(self.analysis(), sort_keys=True).encode()).hexdigest()

    def published(self) -> dict[str, Any]:
        """Return the resolved profile as results hold it: without the key and what is local."""
        own = {"tiled_api_key", "spool", "isolation"}
        return self.model_dump(mode="json", by_alias=True, exclude=own)

    def copied_keys(self) -> tuple[str, ...]:
        """Return the start keys that are copied from the raw run into the result."""
        return tuple(dict.fromkeys((*STANDARD_COPY, *self.run.copy_keys)))
