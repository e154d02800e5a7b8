"""Write a trained ensemble as a model folder: graphs, golden pair, evaluation, card, index."""

import hashlib
import io
import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from rankaae_stream.model.card import CARD_SCHEMA, ModelCard, MonotoneMap
from rankaae_stream.model.networks import GRAPHS, Model
from rankaae_stream.model.verify import TOLERANCE, largest_difference
from rankaae_stream.spectrum import Edge, NormalizationRanges
from training.config import Config
from training.descriptors import DESCRIPTORS
from training.export.place import as_json, place
from training.folders import MODELS
from training.measured.intervals import ErrorModel
from training.network.ensemble import OPSET, Ensemble

__all__ = [
    "RANGES",
    "TOLERANCE",
    "Draft",
    "draft",
    "output_entry",
    "to_onnx",
    "write_model",
]


RANGES = {
    "oxidation_state": (0.0, 8.0),
    "coordination_number": (0.0, 12.0),
    "ligand_coordination": (1.0, 12.0),
    "bond_length_spread": (0.0, 1.0),
    "min_ligand_distance": (1.2, 5.2),
    "mean_bond_length": (1.4, 2.6),
    "angle_spread": (0.0, 90.0),
}
"""What each descriptor can be; two ligands of one shell are at most two radii apart."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A calibrated ensemble before it is written; its card names no files yet.

    `model` answers with the exported graphs, so that what is found of a draft holds for
    the model that is written.
    """

    model: Model
    ensemble: Ensemble
    graphs: dict[str, bytes]


def draft(
    config: Config,
    ensemble: Ensemble,
    outputs: list[dict[str, Any]],
    theory_shift: dict[str, Any],
    domain: dict[str, Any],
    classifier: bytes,
    examples: NDArray[np.floating],
) -> Draft:
    """Export an ensemble's graphs and put a card around them, with all that a number depends on.

    Parameters
    ----------
    config : Config
    ensemble : Ensemble
    outputs : list of dict
        See `output_entry`.
    theory_shift : dict
        As `rankaae_stream.model.card.TheoryShift`.
    domain : dict
        As `rankaae_stream.model.card.DomainRule`.
    classifier : bytes
        The graph that tells oxides from what is none.
    examples : (n, g) array
        Spectra on which ONNX must compute what torch computes.

    Raises
    ------
    ValueError
        When torch and ONNX differ by more than `TOLERANCE`.
    """
    card = {
        "schema": CARD_SCHEMA,
        "name": config.name,
        "version": config.version,
        "files": {},
        "edge": asdict(Edge(config.element, "K", config.e0)),
        "grid": asdict(config.grid.energy_grid()),
        "normalization": asdict(NormalizationRanges()),
        "theory_shift": theory_shift,
        "members": ensemble.members,
        "latent": config.network.latent,
        "outputs": outputs,
        "domain": domain,
    }
    flat = examples.astype(np.float32)
    latent = ensemble.encode(flat).astype(np.float32)
    encoder = to_onnx(ensemble.encoder, flat, "flat", "latent", batch=0)
    decoder = to_onnx(ensemble.decoder, latent, "latent", "flat", batch=1)
    graphs = dict(zip(GRAPHS, (encoder, decoder, classifier), strict=True))
    model = Model(ModelCard.from_bytes(as_json(card), config.folder), graphs, "cpu")
    return Draft(model, ensemble, graphs)


def write_model(
    config: Config,
    draft: Draft,
    evaluation: dict[str, Any],
    notes: dict[str, Any],
    golden: NDArray[np.float64],
    models: Path = MODELS,
) -> ModelCard:
    """Write ``models/<edge>/<version>/``, whole or not at all, and enter it in the index.

    Parameters
    ----------
    config : Config
    draft : Draft
    evaluation : dict
        Becomes evaluation.json.
    notes : dict
        What else the card says, for people.
    golden : (k, g) array
        Spectra whose latents and reconstructions are kept as the golden pair.
    models : Path
        See `place` for what happens to other versions of the edge.

    Returns
    -------
    ModelCard
        Read back from the bytes that were written.

    Raises
    ------
    ConfigurationError
        When the disk or the index does not take the model.
    """
    flat = golden.astype(np.float32)
    latent = draft.ensemble.encode(flat).astype(np.float32)
    reconstruction = draft.ensemble.decode(latent).astype(np.float32)
    pair = io.BytesIO()
    np.savez(pair, flat=flat, latent=latent, reconstruction=reconstruction)
    contents = {
        **draft.graphs,
        "evaluation.json": as_json(evaluation),
        "golden.npz": pair.getvalue(),
    }
    files = {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)}
    content = as_json({**draft.model.card.raw, "files": files, "opset": OPSET, **notes})
    checked = ModelCard.from_bytes(content, str(models / config.folder / "card.json"))
    place(models, config.folder, {**contents, "card.json": content})
    return checked


def to_onnx(
    network: nn.Module, example: NDArray[np.float32], source: str, result: str, batch: int
) -> bytes:
    """Export one graph, and prove that it computes what torch computes.

    Parameters
    ----------
    network : Module
    example : array
        Real inputs, all of which both must compute alike; the axis `batch` becomes dynamic.
    source, result : str
        Names of input and output.
    batch : int

    Raises
    ------
    ValueError
        When torch and ONNX differ by more than `TOLERANCE`.
    """
    given = torch.from_numpy(example)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "graph.onnx"
        # The exporter tells its progress and its own deprecations, none of them about the graph.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network,
            (given,),
            path,
            input_names=[source],
            output_names=[result],
            dynamic_shapes=({batch: torch.export.Dim("n", min=1)},),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        content = _bare(path.read_bytes())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = network(given).numpy()
    found = np.asarray(session.run(None, {source: example})[0])
    if found.shape != wanted.shape:
        raise ValueError(f"{source} -> {result}: ONNX gives {found.shape}, torch {wanted.shape}")
    difference = largest_difference(found, wanted)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{source} -> {result}: ONNX differs from torch by {difference:.2g} in "
            f"{example.shape[batch]} spectra, at most {TOLERANCE:.0e} allowed"
        )
    return content


def _bare(content: bytes) -> bytes:
    """Drop what the exporter notes about where the code lay: stack traces with folders."""
    model = onnx.load_from_string(content)
    graph = model.graph
    noted = [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info]
    for one in [*noted, *graph.initializer]:
        del one.metadata_props[:]
        one.doc_string = ""
    onnx.checker.check_model(model)
    return model.SerializeToString()


def output_entry(
    name: str,
    latent: int,
    maps: Sequence[MonotoneMap],
    level: float,
    error: ErrorModel,
    *,
    calibration: dict[str, list[float]],
    per_ev: float,
    levels: list[dict[str, float | int]],
    unsupported_half: float,
    evidence: str,
) -> dict[str, Any]:
    """Return one entry of the card's outputs."""
    return {
        "name": name,
        "unit": DESCRIPTORS[name],
        "latent": latent,
        "range": list(RANGES[name]),
        "maps": [{"latent": m.latent.tolist(), "value": m.value.tolist()} for m in maps],
        "level": level,
        "error_constant": error.constant,
        "error_per_spread": error.per_spread,
        "calibration": calibration,
        "per_ev": per_ev,
        "levels": levels,
        "unsupported_half": unsupported_half,
        "evidence": evidence,
    }
