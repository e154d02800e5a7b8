"""Build the classifier of all elements: train, judge, set the threshold, write its folder."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.domain import edge_aligned
from training.config import Config
from training.domain import judge, spectra
from training.domain.classifier import ALIGNED, NAMES, Classifier, fit, no_oxide
from training.export.place import as_json
from training.export.write_model import to_onnx
from training.folders import DATA, MODELS
from training.measured.standards import Standard

__all__ = ["Domain", "build_domain", "read_domain"]

SEEDS = (0, 1, 2, 3, 4)
"""Networks of the classifier that is shipped."""

FOLDER = "domain"
"""Below models/."""


@dataclass(frozen=True, eq=False)
class Domain:
    """A trained classifier: its graph, and its card as plain data."""

    graph: bytes
    card: dict[str, Any]


def build_domain(
    configs: Sequence[Config],
    version: str,
    *,
    models: Path = MODELS,
    data: Path = DATA,
    more: Sequence[Standard] = (),
) -> Domain:
    """Train and judge the classifier, and write ``models/domain/<version>/``.

    Parameters
    ----------
    configs : sequence of Config
        Whose elements take part.
    version : str
    models, data : Path
    more : sequence of Standard
        Measured spectra that are not in the repository: they are judged only, and what came
        of them is kept for those who do not have them.
    """
    oxides, others = spectra.oxides(configs, data), spectra.others(configs, data)
    elements = [one.element for one in configs]
    measured = spectra.measured(elements)
    simulated, found = judge.cross_fitted(oxides, others, measured)
    made = fit(oxides, others, measured, SEEDS)
    kept = _elsewhere(models, more, made)
    kinds = list(spectra.KINDS)
    good = [one["no_oxide"] for one in kept if one["kind"] == spectra.OXIDES]
    limit = judge.threshold(measured, found, good)
    unseen = (others, simulated), (measured, found)
    strange, strangers = judge.kinds_left_out(oxides, others, measured)
    left_out = (others, strange), (measured, strangers)
    oxide = measured.kind == spectra.OXIDES
    example = edge_aligned(spectra.AXIS, measured.flat, ALIGNED).astype(np.float32)
    graph = to_onnx(made, example, "aligned", "kinds", batch=0)
    card = {
        "version": version,
        "sha256": hashlib.sha256(graph).hexdigest(),
        "aligned": list(ALIGNED),
        "kinds": list(NAMES),
        "threshold": limit,
        "threshold_rule": f"{judge.FALSE_ALARMS:.0%} of measured oxides lie above it, each "
        "compound judged by a classifier that had not seen it",
        "oxides": judge.by_compound(measured.key[oxide], found[oxide]),
        "elsewhere": kept,
        "known_kinds": _plain(judge.tally(kinds, _kind, *unseen, limit)),
        "kinds_left_out": _plain(judge.tally(kinds, _kind, *left_out, limit)),
        "known_elements": _plain(judge.tally(elements, _element, *unseen, limit)),
        "elements_kinds_left_out": _plain(judge.tally(elements, _element, *left_out, limit)),
        "spectra": {"oxides": len(oxides.flat), "others": len(others.flat)},
    }
    folder = models / FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "domain.onnx").write_bytes(graph)
    (folder / "card.json").write_bytes(as_json(card))
    return Domain(graph, card)


def read_domain(models: Path = MODELS) -> Domain:
    """Read the newest classifier of a folder of models, or the shipped one where it has none.

    Raises
    ------
    ConfigurationError
        When there is none, or its graph is another than its card says.
    """
    versions = sorted((models / FOLDER).glob("*/card.json"))
    versions = versions or sorted((MODELS / FOLDER).glob("*/card.json"))
    if not versions:
        raise ConfigurationError(
            f"{models / FOLDER} holds no classifier; make it first: python -m training domain"
        )
    card = json.loads(versions[-1].read_text(encoding="utf-8"))
    graph = versions[-1].with_name("domain.onnx").read_bytes()
    if hashlib.sha256(graph).hexdigest() != card["sha256"]:
        raise ConfigurationError(
            f"{versions[-1].with_name('domain.onnx')} is another graph than its card says; make "
            "both anew: python -m training domain"
        )
    return Domain(graph, card)


def _elsewhere(models: Path, more: Sequence[Standard], made: Classifier) -> list[dict[str, Any]]:
    """Judge spectra that are not in the repository; without them, what was found once."""
    if not more:
        try:
            return read_domain(models).card["elsewhere"]
        except ConfigurationError:
            return []
    rows = spectra.measured((), more)
    first = {str(key): i for i, key in reversed(list(enumerate(rows.key)))}
    found = judge.by_compound(rows.key, no_oxide(made, rows.flat))
    return [
        {
            "element": str(rows.element[first[key]]),
            "compound": str(rows.compound[first[key]]),
            "kind": str(rows.kind[first[key]]),
            "no_oxide": value,
        }
        for key, value in found.items()
    ]


def _kind(of: spectra.Spectra) -> NDArray[np.str_]:
    return of.kind


def _element(of: spectra.Spectra) -> NDArray[np.str_]:
    return of.element


def _plain(judged: Sequence[judge.Judged]) -> list[dict[str, Any]]:
    """Return plain data; JSON has no NaN."""
    return [
        {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(one).items()
        }
        for one in judged
    ]
