"""Compose what-if curves: how a spectrum changes with one descriptor, as a run of its own.

They are written once for each model, so that a reader of Tiled alone can move a descriptor
and see the curve move: the difference to the mean curve, added to a measured spectrum's
reconstruction, is the curve that the model expects there.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rankaae_stream.model.card import ModelCard, Output
from rankaae_stream.results.compose import ResultRun, data_key, one_event_run
from rankaae_stream.spectrum import Floats

__all__ = ["PURPOSE", "compose_what_if", "what_if_uid"]

PURPOSE = "what-if curves by rankaae-stream"

STEPS = 21
"""Values of a descriptor, evenly spaced over the range that the model has learned."""

DIGITS = 5
"""Decimals kept of a curve whose edge step is 1; noise is far larger."""


def what_if_uid(model_id: str) -> str:
    """Return the uid of the run with a model's curves."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rankaae-stream what-if:{model_id}"))


def compose_what_if(
    card: ModelCard, mean: Floats, curves: Callable[[str, Floats], Floats]
) -> ResultRun:
    """Compose a model's what-if curves as a run, the same documents each time.

    Parameters
    ----------
    card : ModelCard
    mean : (grid,) array
        The model's mean curve, flat on its grid.
    curves : callable
        From a descriptor's name and values (v,), in its unit, to curves (v, grid).

    Returns
    -------
    ResultRun
        One event: `energy_grid` (eV), `mean`, and for each descriptor NAME
        `NAME_values` (v,) and `NAME_curves` (v, grid).
    """
    made = _made(card)
    data: dict[str, Any] = {
        "energy_grid": (card.edge.e0 + card.grid.relative()).tolist(),
        "mean": _rounded(mean),
    }
    units = {"energy_grid": "eV"}
    for output in card.outputs:
        values = np.linspace(*_learned(output), STEPS)
        data[f"{output.name}_values"] = values.tolist()
        data[f"{output.name}_curves"] = _rounded(curves(output.name, values))
        units[f"{output.name}_values"] = output.unit
    start = {
        "uid": what_if_uid(card.id),
        "time": made,
        "purpose": PURPOSE,
        # Empty, for there is no scan; the key keeps these from being taken for one.
        "original_run_uid": "",
        "element": card.edge.element,
        "edge": card.edge.shell,
        "model": {"id": card.id, "name": card.name, "version": card.version},
        "descriptors": [output._asdict() for output in card.described],
    }
    keys = {key: data_key(value, units.get(key, "1")) for key, value in data.items()}
    return one_event_run(start, data, keys, time=made)


def _learned(output: Output) -> tuple[float, float]:
    """Return the ends of the range that the members' maps cover together."""
    return (
        min(float(mapped.value[0]) for mapped in output.maps),
        max(float(mapped.value[-1]) for mapped in output.maps),
    )


def _rounded(curve: Floats) -> list[Any]:
    return np.round(curve, DIGITS).tolist()


def _made(card: ModelCard) -> float:
    """Return the model's date, which is its version, in seconds since the epoch."""
    try:
        return datetime.strptime(card.version, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
