"""Why a layout does not fit a run: the first thing, and the profile's key to change."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rankaae_stream.checks.base import Broken, NotChecked
from rankaae_stream.errors import Refusal
from rankaae_stream.layouts.base import Document, Layout
from rankaae_stream.layouts.pizzabox import PizzaboxLayout

__all__ = ["ADVICE", "KNOWN", "Failure", "key_of", "misfit", "streams_of"]

KNOWN = "rankaae-stream models lists the edges that can be answered"

ADVICE: Mapping[str, str] = {
    "bad_signal": "look which detector reads zero, negative or nothing there: are the fields the "
    "right ones, and an offset that is subtracted the right one?",
    "coverage": "the profile is not at fault; measure at least from -40 to +100 eV around the edge",
    "energy_order": "set layout.energy to the axis that the scan moves",
    "file": "the file is there and cannot be used; replay the run when it is whole",
    "no_edge": "look at the curve: are layout.i0 and layout.it the right way round, and is it the "
    "element that run.element names?",
    "no_model": KNOWN,
    "no_overlap": "are the clocks of electrometer and encoder the same?",
    "not_xas": "if it is one, change [[run.xas]] or [[run.not_xas]]",
    "outside_roots": "set layout.allowed_roots, or layout.root_map where folders have other names "
    "on this machine",
    "wrong_spec": "set layout.analog and layout.encoder to the right data keys",
}
"""What to do about a refusal."""

Failure = Broken | NotChecked


def key_of(name: str, role: str) -> str:
    """A layout's setting, as a person finds it in the profile.

    Examples
    --------
    >>> key_of("layout (step)", "i0"), key_of("layout 2 (step)", "i0")
    ('layout.i0', 'i0 of layout 2 (step)')
    """
    return f"layout.{role}" if name.startswith("layout (") else f"{role} of {name}"


def misfit(
    layout: Layout, name: str, documents: Sequence[tuple[str, Document]], refusal: Refusal
) -> Failure:
    """What a person changes first so that the layout reads the run.

    Parameters
    ----------
    layout : Layout
        One that refused the run.
    name : str
        What it is called.
    documents : sequence of (name, document)
    refusal : Refusal
        What it said.

    Returns
    -------
    Broken or NotChecked
        The latter for files that are only at the beamline.
    """
    if refusal.name in ("missing_fields", "missing_file", "outside_roots"):
        found = _misnamed(layout, name, streams_of(documents))
        if found is not None:
            return found
    if refusal.name == "missing_file":
        return NotChecked(
            refusal.message,
            "run this where the files are; if they lie in other folders, set "
            f"{key_of(name, 'root_map')}",
        )
    return Broken(refusal.message, ADVICE.get(refusal.name, ""))


def streams_of(documents: Iterable[tuple[str, Document]]) -> dict[str, tuple[str, ...]]:
    """Data keys by stream."""
    return {
        str(doc.get("name", "")): tuple(doc.get("data_keys", ()))
        for name, doc in documents
        if name == "descriptor"
    }


def _misnamed(layout: Any, name: str, streams: Mapping[str, tuple[str, ...]]) -> Broken | None:
    if not streams:
        return Broken("the run has no descriptor: it ended before its first point")
    if isinstance(layout, PizzaboxLayout):
        every = [key for keys in streams.values() for key in keys]
        for role in ("analog", "encoder"):
            names = getattr(layout, role)
            if not set(names) & set(every):
                return _absent(key_of(name, role), names, "the run", every)
        return None
    wanted = {"stream": getattr(layout, "stream", None)}
    wanted["energy_stream"] = getattr(layout, "energy_stream", None)
    for role, stream in wanted.items():
        if stream is not None and stream not in streams:
            near = _nearest([stream], list(streams))
            return Broken(
                f"the run has no stream {stream!r}, which {key_of(name, role)} says; its streams: "
                + "; ".join(f"{one} ({_some(keys)})" for one, keys in streams.items()),
                f"set {key_of(name, role)}" + (f", perhaps to {near!r}" if near else ""),
            )
    if wanted["stream"] is None:
        return None
    roles = ("energy", "i0", "it", "ir", "pips")
    taken = {one for role in roles for one in getattr(layout, role, ())}
    for role in ("energy", "i0"):
        stream = wanted["energy_stream"] if role == "energy" else None
        stream = stream or wanted["stream"]
        keys = streams[stream]
        names = getattr(layout, role, ())
        if not set(names) & set(keys) and (names or role == "i0"):
            return _absent(key_of(name, role), names, f"stream {stream}", keys, taken)
    answers = [*getattr(layout, "it", ()), *getattr(layout, "pips", ())]
    keys = streams[wanted["stream"]]
    if not set(answers) & set(keys):
        either = f"{key_of(name, 'it')} or {key_of(name, 'fluorescence')}"
        return _absent(either, answers, f"stream {wanted['stream']}", keys, taken)
    return None


def _absent(
    key: str, names: Sequence[str], where: str, there: Sequence[str], taken: Iterable[str] = ()
) -> Broken:
    near = _nearest(names, [one for one in there if one not in set(taken)])
    return Broken(
        f"no field of {key} = {list(names)} is in {where}; it has {_some(there)}",
        f"set {key}" + (f", perhaps to [{near!r}]" if near else ""),
    )


def _nearest(names: Sequence[str], there: Sequence[str]) -> str:
    """The name that looks most like one of those wanted, or an empty text."""
    plain = {one.lower(): one for one in reversed(there)}
    for name in (one.lower() for one in names):
        for other, original in plain.items():
            if other.startswith(name) or name in re.split(r"[\W_]+", other):
                return original
        for close in difflib.get_close_matches(name, plain, n=1, cutoff=0.5):
            return plain[close]
    return ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return (", ".join(names[:12]) or "nothing") + more
