"""Train the partial networks of all models, calibrate them together, and add them to the models."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.folder import load_model
from rankaae_stream.model.networks import PARTIAL, Model
from training.config import Config
from training.evaluation.on_measured import answers_by_file
from training.export.place import as_json, place
from training.export.write_model import to_onnx
from training.folders import DATA, MODELS, RUNS
from training.measured import standards
from training.measured.standards import Standard
from training.partial import judge
from training.partial.parts import GRID, SIMULATED, Source, draw
from training.partial.train import Trained, train_element
from training.simulated import dataset

__all__ = ["FILE", "PartialAnswers", "build_partial", "read_partial"]

FILE = "partial.json"
"""Below models/: how partial answers were judged, and by what factors."""

EXAMPLES = 64
"""Parts on which ONNX must compute what torch computes."""

KEPT = 8
"""Of them, those that are kept in golden.npz."""


@dataclass(frozen=True, eq=False)
class PartialAnswers:
    """What was found of all models: plain data, as `FILE` holds it."""

    factors: dict[str, list[float]]
    thresholds: list[float]
    measured: list[dict[str, Any]]
    elsewhere: list[dict[str, Any]]
    simulated: list[dict[str, Any]]


def build_partial(
    *,
    models: Path = MODELS,
    runs: Path = RUNS,
    data: Path = DATA,
    more: Sequence[Standard] = (),
    done: Callable[[str], object] | None = None,
) -> PartialAnswers:
    """Train what is not trained yet, calibrate, and write the models with their new network.

    Parameters
    ----------
    models : Path
        Folder of index.json; every model that it names is written anew.
    runs : Path
        Where finished networks are kept.
    data : Path
    more : sequence of Standard
        Measured spectra that are not in the repository: they are judged only, and what came of
        them is kept for those who do not have them.
    done : callable, optional
        Called with a model's name when its networks are trained.

    Raises
    ------
    ConfigurationError
        When there is no model.
    """
    index: dict[str, str] = json.loads((models / "index.json").read_text(encoding="utf-8"))
    if not index:
        raise ConfigurationError(f"{models / 'index.json'} names no model; train one first")
    found: list[tuple[str, Model, Trained]] = []
    measured: list[judge.Row] = []
    elsewhere: list[judge.Row] = []
    simulated: list[judge.Row] = []
    for key, digest in sorted(index.items()):
        teacher = load_model(models / key, digest, "cpu")
        config = Config.model_validate(teacher.card.raw["training"]["config"])
        files = standards.load(config.element)
        trained = train_element(config, teacher, files, runs, data)
        measured += judge.judge(teacher.card, trained, files)
        absent = [one for one in more if one.spectrum.edge.element == config.element]
        elsewhere += judge.judge(teacher.card, trained, absent)
        simulated += judge.judge_simulated(config, teacher.card, trained.student, data)
        found.append((key, teacher, trained))
        if done is not None:
            done(key)
    names = list(dict.fromkeys(out.name for _, one, _ in found for out in one.card.outputs))
    level = found[0][1].card.outputs[0].level
    factors = judge.factors(measured, names, level)
    limits = judge.thresholds(measured)
    result = PartialAnswers(
        factors,
        limits,
        judge.summary(measured, factors),
        judge.summary(elsewhere, factors) if more else read_partial(models).get("elsewhere", []),
        judge.summary(simulated, factors),
    )
    for key, teacher, trained in found:
        _write(models, key, teacher, trained, result)
    (models / FILE).write_bytes(as_json(asdict(result)))
    return result


def read_partial(models: Path = MODELS) -> dict[str, Any]:
    """Return how partial answers were judged, as `FILE` holds it; empty without one."""
    path = models / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(
    models: Path, key: str, teacher: Model, trained: Trained, found: PartialAnswers
) -> ModelCard:
    """Write a model's folder again, with the network and what its card says of it."""
    card, folder = teacher.card, models / key
    inputs = _examples(teacher)
    graph = to_onnx(trained.student, inputs, "part", "answer", batch=0)
    contents = {name: (folder / name).read_bytes() for name in card.files}
    contents[PARTIAL] = graph
    contents["golden.npz"] = _golden(contents["golden.npz"], inputs[:KEPT], trained)
    raw = {key: value for key, value in card.raw.items() if key not in ("files", "partial")}
    raw["files"] = {one: hashlib.sha256(contents[one]).hexdigest() for one in sorted(contents)}
    raw["partial"] = {
        "grid": asdict(GRID),
        "reach": list(judge.REACHES),
        "factors": {out.name: found.factors[out.name] for out in card.outputs},
        "thresholds": found.thresholds,
        "rule": "the factor at each reach is a conformal quantile over measured compounds of all "
        "elements, each answered by a network that had not seen it, at noise of 0.3 and 2 % and "
        "with and without a pre-edge",
    }
    # The answers to measured files, as evaluation.json has them, name the model's intervals.
    made = Model(ModelCard.from_bytes(as_json(raw)), contents, "cpu")
    evaluation: dict[str, Any] = json.loads(contents["evaluation.json"])
    evaluation["files"] = answers_by_file(made, standards.load(card.edge.element))
    contents["evaluation.json"] = as_json(evaluation)
    raw["files"]["evaluation.json"] = hashlib.sha256(contents["evaluation.json"]).hexdigest()
    content = as_json(raw)
    checked = ModelCard.from_bytes(content, str(folder / "card.json"))
    reports = {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
    place(models, key, {**reports, **contents, "card.json": content})
    return checked


def _examples(teacher: Model) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return prepared parts of simulated spectra that every model can be tried on."""
    config = Config.model_validate(teacher.card.raw["training"]["config"])
    simulated = dataset.read(config.element, config.data, config.grid)
    mu = simulated.mu[:EXAMPLES]
    source = Source(simulated.energy, mu, np.full(len(mu), 1.0 / len(mu)), SIMULATED)
    return draw(source, EXAMPLES, teacher, np.random.default_rng(0))[0]


def _golden(
    before: bytes, inputs: np.ndarray[Any, np.dtype[np.float32]], trained: Trained
) -> bytes:
    """Return golden.npz with parts and what torch answers of them."""
    with np.load(io.BytesIO(before), allow_pickle=False) as golden:
        kept = {name: golden[name] for name in ("flat", "latent", "reconstruction")}
    again = io.BytesIO()
    np.savez(again, **kept, part=inputs, answer=trained.answer(inputs))
    return again.getvalue()
