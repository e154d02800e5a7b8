"""Load what is needed before the first spectrum: models and library foils.

Loading takes a second and can fail, so it happens at start-up, where a person
reads what is wrong, and never while a scan runs.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rankaae_stream import resources
from rankaae_stream.analysis import Analysis
from rankaae_stream.edges import tabulated_edges
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.layouts.base import Layout
from rankaae_stream.model.folder import checked_files, load_model, newest_models
from rankaae_stream.model.networks import Model
from rankaae_stream.model.runtime import duplicate_runtime
from rankaae_stream.pipeline import Pipeline
from rankaae_stream.printable import get_logger
from rankaae_stream.private import make_private
from rankaae_stream.profile import Profile
from rankaae_stream.report import Result
from rankaae_stream.spectra.axis import FoilLibrary
from rankaae_stream.spectra.foils import FoilHistory, Foils, Published
from rankaae_stream.spectra.library import library_foil
from rankaae_stream.spectrum import K_EDGES

__all__ = ["analysis_with", "build_pipeline", "default_analysis", "load_analysis", "open_foils"]

logger = get_logger(__name__)


def build_pipeline(
    profile: Profile,
    emit: Callable[[Result], None],
    analysis: Analysis | None = None,
    foils: Foils | None = None,
    layout: Layout | None = None,
    *,
    provisional: bool = True,
) -> Pipeline:
    """Load models and foils, unless they are given, and build the pipeline of a profile.

    Without `foils` those of earlier runs are remembered in memory only; `layout` replaces
    the profile's; without `provisional` no growing sweep is answered.

    Raises
    ------
    ConfigurationError
        When a model is damaged or unknown, or the profile's normalisation is not
        the model's.
    """
    tabulated_edges()  # read now, not when the first run without an element has ended
    return Pipeline(
        layout or profile.build_layout(),
        analysis or load_analysis(profile),
        profile.run.build(),
        emit,
        analysis_hash=profile.analysis_hash(),
        provisional_interval=profile.provisional_interval if provisional else math.inf,
        stop_deadline=profile.stop_deadline,
        file_deadline=profile.file_deadline,
        foils=foils or FoilHistory(profile.analysis_hash(), profile.energy.foil_max_age),
    )


def open_foils(
    profile: Profile, published: Published | None = None, *, writes: bool = True
) -> FoilHistory:
    """Return the foils of earlier runs under a profile's settings, kept beside its spool.

    Raises
    ------
    ConfigurationError
        When they belong to somebody else, who could shift every axis by them.
    """
    path = profile.spool.expanduser() / "foils.jsonl"
    try:
        if writes and path.exists():
            make_private(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use the foils of earlier runs in {path} ({error.strerror}); remove the file, "
            f"or set spool in profile {profile.name!r} to a folder of your own"
        ) from error
    return FoilHistory(
        profile.analysis_hash(),
        profile.energy.foil_max_age,
        path,
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
    """Return the shipped models and foils, for spectra of no beamline; loaded once."""
    return Analysis(_newest("auto"), _foils(), resources.code_version())


def analysis_with(folder: Path) -> Analysis:
    """Return the shipped models and foils, with the model of a folder in place of its edge's.

    Raises
    ------
    ModelError
        When it is incomplete or altered.
    """
    shipped = default_analysis()
    card, contents = checked_files(folder.expanduser(), None)
    models = {**shipped.models, str(card.edge): Model(card, contents)}
    return Analysis(models, shipped.foils, shipped.code_version)


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


def _newest(device: str) -> dict[str, Model]:
    loaded = [load_model(path, digest, device) for path, digest in newest_models().values()]
    return {str(model.card.edge): model for model in loaded}


def _foils() -> dict[str, FoilLibrary]:
    libraries = [library_foil(element) for element in K_EDGES]
    return {str(library.edge): library for library in libraries}
