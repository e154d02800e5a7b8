"""Explain why a layout does not fit a run, and name the profile's key to change."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from rankaae_stream.checks.base import Broken, NotChecked
from rankaae_stream.errors import Refusal
from rankaae_stream.layouts.base import Document, Field, Layout, fields_of
from rankaae_stream.layouts.signals import ANSWERS, flat, match_all

__all__ = ["ADVICE", "KNOWN", "Failure", "key_of", "misfit", "streams_of"]

KNOWN = "rankaae-stream models lists the edges that can be answered"

ADVICE: Mapping[str, str] = {
    "bad_signal": "find the detector that reads zero, negative or nothing there: are the fields "
    "right, and is the offset right that is subtracted?",
    "coverage": "the profile is not at fault; measure at least from -40 to +100 eV around the edge",
    "energy_order": "set layout.energy to the axis that the scan moves",
    "file": "the file exists and cannot be used; replay the run when it is complete",
    "no_edge": "look at the curve: are layout.i0 and layout.it interchanged, and is it the "
    "element that run.element names?",
    "no_model": KNOWN,
    "no_overlap": "are the clocks of electrometer and encoder the same?",
    "not_xas": "if it is XAS, change [[run.xas]] or [[run.not_xas]]",
    "outside_roots": "set layout.allowed_roots, or layout.root_map where folders have other names "
    "on this machine",
    "wrong_spec": "set layout.analog and layout.encoder to the right data keys",
}
"""What to do, by the name of a refusal."""

OPTIONAL = (*ANSWERS, "ir")
"""Fields without which a run may be read."""

Failure = Broken | NotChecked


def key_of(name: str, role: str) -> str:
    """Return a layout's setting as a person finds it in the profile.

    Examples
    --------
    >>> key_of("layout (step)", "i0"), key_of("layout 2 (step)", "i0")
    ('layout.i0', 'i0 of layout 2 (step)')
    """
    return f"layout.{role}" if name.startswith("layout (") else f"{role} of {name}"


def misfit(
    layout: Layout, name: str, documents: Sequence[tuple[str, Document]], refusal: Refusal
) -> Failure:
    """Return what a person changes first so that the layout reads the run.

    Parameters
    ----------
    layout : Layout
        It refused the run.
    name : str
        Of the layout, as `key_of` takes it.
    documents : sequence of (name, document)
    refusal : Refusal

    Returns
    -------
    Broken or NotChecked
        The latter for files that are only at the beamline.
    """
    if refusal.name in ("missing_fields", "missing_file", "outside_roots"):
        found = _misnamed(fields_of(layout), name, streams_of(documents))
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
    """Return the data keys by stream."""
    return {
        str(doc.get("name", "")): tuple(doc.get("data_keys", ()))
        for name, doc in documents
        if name == "descriptor"
    }


def _misnamed(
    fields: Sequence[Field], name: str, streams: Mapping[str, tuple[str, ...]]
) -> Broken | None:
    """Return the first stream or field that the run has not under the layout's names."""
    if not streams:
        return Broken("the run has no descriptor: it ended before its first point")
    for field in fields:
        if field.stream and field.stream not in streams:
            key, near = key_of(name, field.stream_role), _nearest([field.stream], list(streams))
            return Broken(
                f"the run has no stream {field.stream!r}, which {key} names; its streams: "
                + "; ".join(f"{stream} ({_some(keys)})" for stream, keys in streams.items()),
                f"set {key}" + (f", perhaps to {near!r}" if near else ""),
            )
    looked_for = [field for field in fields if field.stream is not None]
    for field in looked_for:
        needed = field.role == "i0" or (field.names and field.role not in OPTIONAL)
        if needed and not _fits(field, streams):
            return _absent(key_of(name, field.role), [field], looked_for, streams)
    answers = [field for field in looked_for if field.role in ANSWERS]
    if answers and not any(_fits(field, streams) for field in answers):
        either = f"{key_of(name, 'it')} or {key_of(name, 'fluorescence')}"
        return _absent(either, answers, looked_for, streams)
    return None


def _keys(field: Field, streams: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the data keys of a field's stream, or of all."""
    return [key for name, keys in streams.items() if field.stream in ("", name) for key in keys]


def _fits(field: Field, streams: Mapping[str, tuple[str, ...]]) -> bool:
    keys = dict.fromkeys(_keys(field, streams))
    return any(
        match_all([names] if isinstance(names, str) else names, keys) for names in field.names
    )


def _absent(
    key: str,
    fields: Sequence[Field],
    looked_for: Sequence[Field],
    streams: Mapping[str, tuple[str, ...]],
) -> Broken:
    names = [name for field in fields for name in field.names]
    where = f"stream {fields[0].stream}" if fields[0].stream else "the run"
    there = _keys(fields[0], streams)
    taken = {name for field in looked_for for name in flat(field.names)}
    near = _nearest(flat(names), [key for key in there if key not in taken])
    return Broken(
        f"no field of {key} = {names} is in {where}; it has {_some(there)}",
        f"set {key}" + (f", perhaps to [{near!r}]" if near else ""),
    )


def _nearest(names: Sequence[str], there: Sequence[str]) -> str:
    """Return the name that looks most like a wanted one, or an empty text."""
    plain = {key.lower(): key for key in reversed(there)}
    for name in map(str.lower, names):
        for other, original in plain.items():
            if other.startswith(name) or name in re.split(r"[\W_]+", other):
                return original
        for close in difflib.get_close_matches(name, plain, n=1, cutoff=0.5):
            return plain[close]
    return ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return (", ".join(names[:12]) or "nothing") + more
