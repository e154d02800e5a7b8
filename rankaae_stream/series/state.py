"""Translate what a series shows into plain data: the JSON, the table, and what is published."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rankaae_stream.report import Estimate
from rankaae_stream.series.resolve import Resolved

__all__ = ["SCHEMA", "rows", "to_dict"]

SCHEMA = 1
"""Version of the dictionary that `to_dict` returns; raised when a key changes its meaning."""

MOST_ROWS = 2000
"""Spectra that are listed; of a longer series as many, at equal distances."""

DIGITS = 5
"""Decimals that are kept: no valence and no fraction is known so well."""


def rows(found: Resolved) -> list[dict[str, Any]]:
    """Return a row for each spectrum that takes part, in their order: the columns of a table."""
    series, mixtures = found.series, found.mixtures
    table: list[dict[str, Any]] = []
    for i, source in enumerate(series.sources):
        row: dict[str, Any] = {
            "spectrum": source,
            "alone": _round(series.valence[i]),
            "alone_half_width": _round(series.half[i]),
        }
        if mixtures is not None:
            for k in range(len(mixtures.ends)):
                row[f"share_{k + 1}"] = _round(mixtures.fractions[i, k])
                row[f"share_{k + 1}_sigma"] = _round(mixtures.sigma[i, k])
            row |= {
                "valence": _round(mixtures.valence[i]),
                "half_width": _round(mixtures.half[i]),
                "misfit": _round(mixtures.misfit[i]),
                "r_factor": float(f"{mixtures.r_factor[i]:.4g}"),
            }
        table.append(row)
    return table


def to_dict(
    found: Resolved, about: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return what a series shows as JSON types only.

    Parameters
    ----------
    found : Resolved
    about : mapping, optional
        Further columns of each spectrum, by its name in the series.
    """
    series, mixtures, merged = found.series, found.mixtures, found.merged
    told = about or {}
    table = [{**told.get(row["spectrum"], {}), **row} for row in rows(found)]
    chosen = np.linspace(0, len(table) - 1, min(len(table), MOST_ROWS)).round()
    state = merged.estimate("oxidation_state") if merged is not None else None
    return {
        "schema": SCHEMA,
        "count": len(table),
        "spectra": [table[int(i)] for i in chosen],
        "components": found.components,
        "noise": _round(series.noise),
        "ends": list(mixtures.names) if mixtures is not None else [],
        "merged": _estimate(state),
        "repeats": len(found.repeats.taken) if found.repeats is not None else 0,
        "advice": found.advice.sentence if found.advice is not None else "",
        "more_repeats": found.advice.more if found.advice is not None else None,
        "enough": found.advice is not None and found.advice.more == 0,
        "drift": _rounded(asdict(found.drift)) if found.drift is not None else None,
        "changes": [_rounded(asdict(one)) for one in found.changes],
        "pieces": [_rounded(asdict(one)) for one in found.pieces],
        "flags": [asdict(one) for one in found.flags],
        "left_out": [{"spectrum": one.source, "reason": one.reason} for one in found.left_out],
        "curves": _curves(found),
    }


def _estimate(state: Estimate | None) -> dict[str, float] | None:
    if state is None:
        return None
    return {key: _round(getattr(state, key)) for key in ("value", "low", "high", "level")}


def _curves(found: Resolved) -> dict[str, Any]:
    """Return the ends of the mixtures, or the mean of the repeats, on the model's grid, eV."""
    series, mixtures = found.series, found.mixtures
    ends = mixtures.ends if mixtures is not None else series.flat.mean(axis=0)[None]
    return {"energy": np.round(series.energy, 3).tolist(), "ends": _list(ends)}


def _list(values: Sequence[Any] | np.ndarray[Any, Any]) -> list[Any]:
    return np.round(np.asarray(values, dtype=float), DIGITS).tolist()


def _rounded(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _round(value) for key, value in plain.items()}


def _round(value: Any) -> Any:
    """Round a number as JSON has it: None where it is not finite."""
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    return round(float(value), DIGITS) if np.isfinite(value) else None
