"""What has to be loaded before the first spectrum: models and library foils.

Loading takes a second and can fail, so it happens at start-up, where a person
reads what is wrong, and never while a scan runs.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rankaae_stream import resources
from rankaae_stream.analysis import Analysis
from rankaae_stream.choose import k_edges
from rankaae_stream.energy import FoilLibrary
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.xdi import read_xdi
from rankaae_stream.foils import FoilHistory, Foils, Published
from rankaae_stream.layouts.base import Layout
from rankaae_stream.model import Model, duplicate_runtime, load_model, shipped_models
from rankaae_stream.pipeline import Pipeline
from rankaae_stream.profile import Profile
from rankaae_stream.report import Result
from rankaae_stream.spectrum import K_EDGES, Edge

__all__ = [
    "build_pipeline",
    "default_analysis",
    "library_foil",
    "load_analysis",
    "newest_models",
    "open_foils",
]

logger = logging.getLogger(__name__)


def build_pipeline(
    profile: Profile,
    emit: Callable[[Result], None],
    analysis: Analysis | None = None,
    foils: Foils | None = None,
    layout: Layout | None = None,
) -> Pipeline:
    """Load models and foils, unless they are given, and string the stations together.

    Without `foils` those of earlier runs are remembered in memory only; `layout` stands
    instead of the profile's.

    Raises
    ------
    ConfigurationError
        When a model is damaged or unknown, or the profile's normalisation is not
        the model's.
    """
    k_edges()  # read now, not when the first run without an element has ended
    return Pipeline(
        layout or profile.build_layout(),
        analysis or load_analysis(profile),
        profile.run.build(),
        emit,
        analysis_hash=profile.analysis_hash(),
        provisional_interval=profile.provisional_interval,
        stop_deadline=profile.stop_deadline,
        file_deadline=profile.file_deadline,
        foils=foils or FoilHistory(profile.analysis_hash(), profile.energy.foil_max_age),
    )


def open_foils(
    profile: Profile, published: Published | None = None, *, writes: bool = True
) -> FoilHistory:
    """Foils of earlier runs under a profile's settings, kept beside its spool."""
    return FoilHistory(
        profile.analysis_hash(),
        profile.energy.foil_max_age,
        profile.spool.expanduser() / "foils.jsonl",
        published,
        writes=writes,
    )


def load_analysis(profile: Profile) -> Analysis:
    """Load the models and foils that a profile asks for.

    Raises
    ------
    ConfigurationError
        When a model is damaged or unknown, or the profile's normalisation is not
        the model's.
    """
    advice = duplicate_runtime()
    if advice:
        logger.warning(advice)
    return Analysis(_models(profile), _foils(), resources.code_version(), profile.energy.build())


@functools.cache
def default_analysis() -> Analysis:
    """The shipped models and foils, for spectra that come from no beamline; loaded once."""
    return Analysis(_newest("auto"), _foils(), resources.code_version())


def _models(profile: Profile) -> dict[str, Model]:
    models = _newest(profile.device)
    for edge, choice in profile.models.items():
        model = load_model(Path(choice.path).expanduser(), choice.id, profile.device)
        if str(model.card.edge) != edge:
            raise ConfigurationError(
                f"profile {profile.name!r} gives a model of {model.card.edge} for {edge!r}; "
                f'name the table [models."{model.card.edge}"]'
            )
        models[edge] = model
    stated = profile.normalization
    for edge, model in models.items():
        needed = asdict(model.card.normalization)
        if stated is not None and stated.model_dump() != needed:
            wrong = {k: v for k, v in stated.model_dump().items() if v != needed[k]}
            raise ConfigurationError(
                f"profile {profile.name!r} normalises with {wrong}, the model of {edge} was made "
                f"for { ({k: needed[k] for k in wrong}) }; take [normalization] out of the profile"
            )
    return models


def newest_models() -> dict[str, tuple[Path, str]]:
    """Folder and id of the newest shipped model of every edge, ``fe-k``."""
    root = resources.folder("models")
    # Versions are dates, so the last of an edge in alphabetical order is the newest.
    return {
        key.split("/")[0]: (root / key, digest) for key, digest in sorted(shipped_models().items())
    }


def _newest(device: str) -> dict[str, Model]:
    loaded = [load_model(path, digest, device) for path, digest in newest_models().values()]
    return {str(model.card.edge): model for model in loaded}


def _foils() -> dict[str, FoilLibrary]:
    libraries = [library_foil(element) for element in K_EDGES]
    return {str(library.edge): library for library in libraries}


@functools.cache
def library_foil(element: str) -> FoilLibrary:
    """The shipped foil of an element, on an axis where its first inflection is the edge."""
    foil = read_xdi(resources.folder("profiles/spectra") / "foils" / f"{element}.xdi")
    edge = Edge(element, "K", K_EDGES[element])
    return FoilLibrary.from_measured(edge, foil.energy(), foil.mu(), f"foils/{element}.xdi")
