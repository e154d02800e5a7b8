"""Load what is needed before the first spectrum: models and library foils.

Loading takes a second and can fail, so it happens at start-up, where a person
reads what is wrong, and never while a scan runs.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rankaae_stream import resources
from rankaae_stream.analysis import Analysis
from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.edges import tabulated_edges
from rankaae_stream.errors import ConfigurationError, Refused
from rankaae_stream.files.read import read_file
from rankaae_stream.layouts.base import Layout
from rankaae_stream.model.folder import checked_files, load_model, newest_models
from rankaae_stream.model.networks import Model
from rankaae_stream.model.runtime import duplicate_runtime
from rankaae_stream.pipeline import Pipeline
from rankaae_stream.printable import get_logger
from rankaae_stream.private import make_private
from rankaae_stream.profile import Profile
from rankaae_stream.report import Result, RunFoil
from rankaae_stream.spectra.axis import FoilLibrary, calibrate_by_compound
from rankaae_stream.spectra.foils import FoilHistory, Foils, Published
from rankaae_stream.spectra.library import known_compounds, library_foil
from rankaae_stream.spectrum import K_EDGES, Edge, Origin

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
    ended: Callable[[str], None] = lambda _: None,
) -> Pipeline:
    """Load models and foils, unless they are given, and build the pipeline of a profile.

    Without `foils` those of earlier runs are remembered in memory only; `layout` replaces
    the profile's; without `provisional` no growing sweep is answered; `ended` receives each run's
    uid when all its results were emitted.

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
        ended=ended,
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
    energy = profile.energy
    analysis = Analysis(
        _models(profile),
        _foils(),
        resources.code_version(),
        energy.build(),
        _compounds(energy.axis_from, "axis_from of the profile"),
    )
    if analysis.device.startswith("CUDA"):
        logger.warning(
            "the models run on CUDA: the last digits of their numbers differ from a CPU's, and "
            "with what is answered together; device = 'cpu' in the profile gives the same anywhere"
        )
    else:
        logger.info("the models run on %s", analysis.device)
    return analysis


@functools.cache
def default_analysis() -> Analysis:
    """Return the shipped models and foils, for spectra of no beamline; loaded once."""
    return Analysis(_newest("auto"), _foils(), resources.code_version())


def analysis_with(
    folder: Path | None = None,
    axis_from: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Analysis:
    """Return the shipped models and foils, with a model of one's own and known compounds.

    Parameters
    ----------
    folder : Path, optional
        Of a model, in place of its edge's.
    axis_from : sequence of str
        ``Cr2O3=scan.xdi``: measured compounds that put the axis right where no foil does.
    columns : mapping, optional
        Of these files, see `files.channels.measure`.

    Raises
    ------
    ConfigurationError
        When the model is incomplete or altered, or a compound cannot be used.
    """
    shipped = default_analysis()
    models = dict(shipped.models)
    if folder is not None:
        card, contents = checked_files(folder.expanduser(), None)
        models[str(card.edge)] = Model(card, contents)
    named = dict(_named(text) for text in axis_from)
    compounds = _compounds(named, "--axis-from", columns)
    return Analysis(models, shipped.foils, shipped.code_version, compounds=compounds)


def _named(text: str) -> tuple[str, str]:
    compound, mark, file = text.partition("=")
    if not mark or not compound.strip() or not file.strip():
        raise ConfigurationError(
            f"--axis-from {text!r}: write COMPOUND=FILE, such as Cr2O3=cr2o3.xdi; known are "
            f"{_known_names()}"
        )
    return compound.strip(), file.strip()


def _known_names() -> str:
    known = {element: ", ".join(known_compounds(element)) for element in K_EDGES}
    return "; ".join(f"{element} {names}" for element, names in known.items() if names)


def _compounds(
    named: Mapping[str, str], where: str, columns: Mapping[str, str] | None = None
) -> dict[str, RunFoil]:
    """Return the shift that each measured compound gives, by edge."""
    found: dict[str, RunFoil] = {}
    for name, file in named.items():
        library = next(
            (
                (known, tuple(known_compounds(element).values()))
                for element in K_EDGES
                for known in known_compounds(element).values()
                if known.name.lower() == name.lower()
            ),
            None,
        )
        if library is None:
            raise ConfigurationError(
                f"{where}: no spectrum of {name!r} is known; known are {_known_names()}. With "
                "other compounds use rankaae-stream calibrate"
            )
        known, others = library
        element = known.spectrum.edge.element
        edge = Edge(element, "K", K_EDGES[element])
        if str(edge) in found:
            raise ConfigurationError(f"{where} gives two compounds of {element}; give one")
        try:
            measured = read_file(Path(file).expanduser(), columns)[0]
            origin = Origin(file, measured.channel)
            spectrum, _ = to_spectrum(measured.energy, measured.mu, edge, origin)
            shift = calibrate_by_compound(spectrum.energy, spectrum.mu, known, others)
        except Refused as refused:
            raise ConfigurationError(
                f"{where}: {file} as {known.name}: {refused.message}; give a scan of it that was "
                "measured in this session, or none"
            ) from refused
        found[str(edge)] = RunFoil(shift, f"{Path(file).name} ({known.name})", 0.0)
    return found


def _models(profile: Profile) -> dict[str, Model]:
    models = dict(_newest(profile.device))
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


@functools.cache
def _newest(device: str) -> Mapping[str, Model]:
    """Return the shipped models by edge, loaded once: the streams of a session share them."""
    loaded = [load_model(path, digest, device) for path, digest in newest_models().values()]
    return {str(model.card.edge): model for model in loaded}


def _foils() -> dict[str, FoilLibrary]:
    libraries = [library_foil(element) for element in K_EDGES]
    return {str(library.edge): library for library in libraries}
