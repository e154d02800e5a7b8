"""Put a comparison of answers in words: what differs, how much it matters, which spectrum it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from rankaae_stream.past.compare import Compared, Place, Verdict

__all__ = ["COUNTED", "MAIN", "by_size", "label", "what_differs"]

MAIN = "oxidation_state"
"""The descriptor that comes first."""

COUNTED: Mapping[Verdict, str] = {
    "identical": "identical",
    "within": "different within the interval",
    "beyond": "beyond the interval",
    "one_refused": "refused by one only, or for another reason",
    "missing": "with one answer only",
}

_ORDER: tuple[Verdict, ...] = ("identical", "missing", "within", "one_refused", "beyond")


def by_size(found: Sequence[Compared]) -> list[Compared]:
    """Return what is not identical: by its kind, then by half-widths of the interval."""
    different = [one for one in found if one.verdict != "identical"]
    return sorted(different, key=_size, reverse=True)


def _size(one: Compared) -> tuple[int, float]:
    old = one.before.values.get(MAIN) if one.before else None
    difference = one.difference(MAIN)
    half = (old.high - old.low) / 2 if old else 0.0
    share = abs(difference) / half if difference is not None and half > 0 else 0.0
    return _ORDER.index(one.verdict), share


def label(place: Place, start: Mapping[str, Any]) -> str:
    """Name a spectrum by its sample with the beginning of the uid, as ``--uid`` takes it."""
    sample = str(start.get("sample_name", "")).strip()
    name = f"{sample} ({place.run[:8]})" if sample else place.run[:8]
    channel = "" if place.channel == "transmission" else f", {place.channel}"
    return name + channel + (f", sweep {place.sweep + 1}" if place.sweep else "")


def what_differs(one: Compared) -> str:
    """Return in words what differs beside the valence.

    Examples
    --------
    >>> from rankaae_stream.past.compare import Said, compare
    >>> what_differs(compare(Place("run", "it", 0), Said(), Said(flags=frozenset({"noisy"}))))
    '+ noisy'
    """
    if one.before is None or one.after is None:
        return "no answer before" if one.before is None else "no answer after"
    words = [f"beyond: {', '.join(one.beyond)}"] if one.beyond else []
    words += [f"+ {name}" for name in sorted(one.after.flags - one.before.flags)]
    words += [f"- {name}" for name in sorted(one.before.flags - one.after.flags)]
    return "; ".join(words)
