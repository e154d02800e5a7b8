"""A trained ensemble as a model folder: graphs, golden pair, evaluation, card, index."""

import hashlib
import json
import logging
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from rankaae_stream.card import CARD_SCHEMA, ModelCard
from rankaae_stream.spectrum import Edge, NormalizationRanges
from training.config import Config
from training.descriptors import DESCRIPTORS
from training.ensemble import OPSET, Ensemble, Stacked

__all__ = ["MODELS", "RANGES", "TOLERANCE", "to_onnx", "write_model"]

MODELS = Path(__file__).resolve().parent.parent / "models"

TOLERANCE = 1e-5
"""Largest difference allowed between torch and ONNX, in units of latent and flat."""

RANGES = {
    "oxidation_state": (0.0, 8.0),
    "coordination_number": (0.0, 12.0),
    "ligand_coordination": (1.0, 12.0),
    "bond_length_spread": (0.0, 1.0),
    "min_ligand_distance": (1.2, 5.2),
}
"""What each descriptor can be; two ligands of one shell are at most two radii apart."""


def write_model(
    config: Config,
    ensemble: Ensemble,
    outputs: list[dict[str, Any]],
    theory_shift: dict[str, float],
    domain: dict[str, float],
    evaluation: dict[str, Any],
    notes: dict[str, Any],
    golden: NDArray[np.float64],
    models: Path = MODELS,
) -> ModelCard:
    """Write ``models/<edge>/<version>/`` and enter it in ``models/index.json``.

    Parameters
    ----------
    config : Config
    ensemble : Ensemble
    outputs, theory_shift, domain, notes : plain data
        Parts of the card; `notes` holds what the runtime does not use.
    evaluation : dict
        Becomes evaluation.json.
    golden : (k, g) array
        Spectra whose latents and reconstructions are kept as the golden pair.
    models : Path

    Returns
    -------
    ModelCard
        Read back from the bytes that were written.
    """
    folder = models / config.folder
    folder.mkdir(parents=True, exist_ok=True)
    flat = golden.astype(np.float32)
    latent = ensemble.encode(flat).astype(np.float32)
    reconstruction = ensemble.decode(latent).astype(np.float32)
    contents = {
        "encoder.onnx": to_onnx(ensemble.encoder, flat, "flat", "latent", batch=0),
        "decoder.onnx": to_onnx(ensemble.decoder, latent, "latent", "flat", batch=1),
        "evaluation.json": _json(evaluation),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    np.savez(folder / "golden.npz", flat=flat, latent=latent, reconstruction=reconstruction)
    contents["golden.npz"] = (folder / "golden.npz").read_bytes()
    card = {
        "schema": CARD_SCHEMA,
        "name": config.name,
        "version": config.version,
        "files": {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)},
        "edge": asdict(Edge(config.element, "K", config.e0)),
        "grid": asdict(config.grid.energy_grid()),
        "normalization": asdict(NormalizationRanges()),
        "theory_shift": theory_shift,
        "members": len(ensemble.seeds),
        "latent": config.network.latent,
        "outputs": outputs,
        "domain": domain,
        **notes,
    }
    content = _json(card)
    checked = ModelCard.from_bytes(content, str(folder / "card.json"))
    (folder / "card.json").write_bytes(content)
    index = models / "index.json"
    known = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    known[config.folder] = checked.id
    index.write_bytes(_json(dict(sorted(known.items()))))
    return checked


def to_onnx(
    network: Stacked, example: NDArray[np.float32], source: str, result: str, batch: int
) -> bytes:
    """Export one graph, and prove that it computes what torch computes.

    Parameters
    ----------
    network : Stacked
    example : array
        A real input; its axis `batch` becomes dynamic.
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
    difference = float(np.abs(found - wanted).max())
    if found.shape != wanted.shape or not difference <= TOLERANCE:
        raise ValueError(
            f"{source} -> {result}: ONNX differs from torch by {difference:.2g}, "
            f"at most {TOLERANCE:.0e} allowed"
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
    name: str, latent: int, maps: Any, level: float, simulated: float, standards: float
) -> dict[str, Any]:
    """One entry of the card's outputs."""
    return {
        "name": name,
        "unit": DESCRIPTORS[name],
        "latent": latent,
        "range": list(RANGES[name]),
        "maps": [{"latent": m.latent.tolist(), "value": m.value.tolist()} for m in maps],
        "level": level,
        "simulated_error": simulated,
        "standards_error": standards,
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
