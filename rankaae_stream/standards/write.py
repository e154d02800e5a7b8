"""Write a calibrated model: the parent's networks, with a card and an id of its own."""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.model.card import ModelCard, Output
from rankaae_stream.model.maps import apply_map
from rankaae_stream.model.networks import GRAPHS, PARTIAL
from rankaae_stream.spectrum import Floats
from rankaae_stream.standards.encode import Encoded
from rankaae_stream.standards.leave_out import Judged

__all__ = ["calibrated_card", "require_new", "write_folder"]

KEPT = (*GRAPHS, PARTIAL, "golden.npz")
"""Files of the parent that are true of the calibrated model, too; its evaluation is not."""

LATENTS = 4.0
"""Largest latent of training spectra, which have mean 0 and variance 1."""


def calibrated_card(
    parent: ModelCard,
    judged: Judged,
    standards: Sequence[Encoded],
    made: date,
    blocks: int | None = None,
) -> bytes:
    """Return the card of the calibrated model, which names its parent.

    Parameters
    ----------
    parent : ModelCard
    judged : Judged
    standards : sequence of Encoded
    made : date
    blocks : int, optional
    """
    raw: dict[str, Any] = deepcopy(dict(parent.raw))
    for place, output in enumerate(parent.outputs):
        if output.name == "oxidation_state":
            raw["outputs"][place] |= _changed(judged.output)
            if "partial" in raw:
                # The network for parts has learned from the parent: what it says is carried on.
                raw["partial"]["values"] = {output.name: _carried(output, judged.output)}
    raw["version"] = f"{parent.version}+calibrated.{made.isoformat()}"
    raw["files"] = {name: parent.files[name] for name in KEPT if name in parent.files}
    raw["theory_shift"]["value"] = parent.theory_shift.value + judged.correction.ev
    if judged.replaces_theory:
        raw["theory_shift"]["uncertainty"] = 0.0
    raw.pop("scores", None)
    before = np.array([one.before.value for one in standards])
    compounds = {one.row.compound for one in standards}
    raw["own_standards"] = {
        "parent": {"name": parent.name, "version": parent.version, "id": parent.id},
        "made": made.isoformat(),
        "spectra": len(standards),
        "independent": blocks or len(compounds),
        "range": [float(judged.known.min()), float(judged.known.max())],
        "fit": judged.correction.kind,
        "energy_shift": judged.correction.ev,
        "offset": judged.correction.offset,
        "slope": judged.correction.slope,
        "error_before": float(np.abs(before - judged.known).mean()),
        "error_left_out": judged.error,
        "level_attainable": judged.level,
        "foils": sum(one.foil for one in standards),
    }
    return (json.dumps(raw, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_folder(folder: Path, parent: Path, card: bytes) -> ModelCard:
    """Write a calibrated model's folder, and return its card as it was read back.

    Parameters
    ----------
    folder : Path
        Must not exist yet: results name a model by its id, so none is written over.
    parent : Path
        Folder of the parent, whose networks are copied.
    card : bytes

    Raises
    ------
    ConfigurationError
        When the folder exists, or the disk does not take it.
    """
    checked = ModelCard.from_bytes(card, str(folder / "card.json"))
    require_new(folder)
    try:
        folder.mkdir(parents=True)
        for name, digest in checked.files.items():
            content = (parent / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise ConfigurationError(f"{parent / name} was altered; reinstall rankaae-stream")
            (folder / name).write_bytes(content)
        (folder / "card.json").write_bytes(card)
    except OSError as error:
        raise ConfigurationError(
            f"--output {folder}: cannot write ({error.strerror}); choose another folder"
        ) from error
    return checked


def require_new(folder: Path) -> None:
    """Refuse a folder that exists.

    Raises
    ------
    ConfigurationError
    """
    if folder.exists():
        raise ConfigurationError(
            f"--output {folder} exists; results name a model by its files, so none is written "
            "over: choose another folder"
        )


def _carried(before: Output, after: Output) -> dict[str, list[float]]:
    """Return the map from the parent's values to those of the calibrated model."""
    latents = np.linspace(-LATENTS, LATENTS, 201)
    known, wanted = (_mean_of_maps(output, latents) for output in (before, after))
    levels, where = np.unique(known.round(6), return_inverse=True)
    # Where the parent's map is flat, many new values belong to one: their mean.
    means = np.bincount(where, weights=wanted) / np.bincount(where)
    return {"latent": levels.tolist(), "value": np.maximum.accumulate(means).tolist()}


def _mean_of_maps(output: Output, latents: Floats) -> Floats:
    each = np.stack([apply_map(one, latents) for one in output.maps])
    return each.mean(axis=0)


def _changed(output: Output) -> dict[str, Any]:
    """Return the entries of the card that a calibration changes."""
    return {
        "maps": [{"latent": m.latent.tolist(), "value": m.value.tolist()} for m in output.maps],
        "error_constant": output.error_constant,
        "error_per_spread": output.error_per_spread,
        "per_ev": output.per_ev,
        "calibration": {
            "whole": output.calibration.latent.tolist(),
            "half": output.calibration.value.tolist(),
        },
        "levels": [{"value": one.value, "compounds": one.compounds} for one in output.levels],
        "unsupported_half": output.unsupported_half,
    }
