"""Read plain columns of numbers from a text file with any header.

The roles of the columns come from the header where it names them. What has to be guessed
is stated in a note; what cannot be guessed is refused, with the option to give.
"""

import re
from collections.abc import Mapping

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import Measured
from rankaae_stream.spectrum import K_EDGES, Floats, absorption

__all__ = ["ROLES", "read_columns"]

ROLES = ("energy", "mu", "i0", "it", "iff", "ir")
"""Roles of columns: energy, absorption, and the signals before the sample (i0), behind it
(it), of fluorescence (iff) and behind the reference foil (ir)."""

_NAMES = {
    "energy": r"e|en|ev|kev|energy.*|.*energy|e\(.*\)|mono.*",
    "mu": r"mu|xmu|mutrans|mufluor|mu_?[tf]\w*|norm\w*|flat|abs\w*|mu\(e\)",
    "i0": r"i0|i_0|io|monitor",
    "it": r"it|i1|itrans|i_?t\w*|trans\w*",
    "iff": r"if|iff|ifluor\w*|fluo\w*|pips",
    "ir": r"ir|i2|irefer?\w*|ref\w*",
}
_EV = (min(K_EDGES.values()) - 500.0, max(K_EDGES.values()) + 1500.0)
"""Lowest and highest energy that a scan of one of our edges can have, eV."""


def read_columns(content: bytes, choice: Mapping[str, str] | None = None) -> tuple[Measured, ...]:
    """Read one spectrum from columns of numbers.

    Parameters
    ----------
    content : bytes
        Of the file.
    choice : mapping, optional
        Role to column, by name or by number from 1, e.g. ``{"energy": "1", "mu": "xmu"}``.

    Returns
    -------
    tuple of one Measured
        With a note for each thing that was guessed or converted.

    Raises
    ------
    Refused
        ``file`` when there is no table, or its energy or absorption cannot be found.
    """
    names, table, notes = _table(content)
    roles = _chosen(choice, names, table.shape[1]) if choice else {}
    if "energy" not in roles:
        roles["energy"] = _guess_energy(names, notes)
    if not roles.keys() & {"mu", "it", "iff"}:
        _guess_absorption(roles, names, table.shape[1], notes)
    energy, converted = _in_ev(table[:, roles["energy"]])
    columns = {role: table[:, i] for role, i in roles.items()}
    names_of = {"i0": "i0", "it": "it", "ir": "ir", "iff": "fluorescence"}
    formed = absorption(**{names_of[role]: c for role, c in columns.items() if role in names_of})
    channel = "transmission" if {"mu", "it"} & columns.keys() else "fluorescence"
    mu = columns.get("mu", formed.get(channel))
    if mu is None:
        raise Refused("file", f"no i0 among {_listed(names)}; name it with --columns i0=...")
    reference = formed.get("reference")
    return (Measured(energy, mu, reference, channel=channel, notes=(*notes, *converted)),)


def _table(content: bytes) -> tuple[list[str], Floats, list[str]]:
    """Return the column names (empty where there are none), the table (n, c), and notes."""
    if b"\0" in content[:4096]:
        raise Refused("file", "the file is binary, not columns of numbers")
    text = content.decode("utf-8", errors="replace")
    if re.match(r"\s*(<!doctype|<html|<\?xml)", text, re.IGNORECASE):
        raise Refused("file", "the file is a web page (HTML or XML), not data; download it again")
    decimal_comma = ";" in text and bool(re.search(r"\d,\d", text)) and "." not in text
    head: list[str] = []
    rows: list[list[float]] = []
    skipped = 0
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line, decimal_comma)
        if not words or line.lstrip()[0] in "#%!*":
            head += [line] if words and not rows else []
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            if rows:
                skipped += 1
                continue
            head.append(line)
            continue
        if rows and len(row) != len(rows[0]):
            raise Refused(
                "file",
                f"line {number} has {len(row)} columns, the lines before have {len(rows[0])}",
            )
        rows.append(row)
    if not rows or len(rows[0]) < 2:
        found = f"{len(rows)} rows of {len(rows[0])} column" if rows else "no line of numbers"
        raise Refused("file", f"{found}; a spectrum needs a column of energy and one of absorption")
    if skipped > 0.02 * len(rows):
        raise Refused(
            "file",
            f"{skipped} of {len(rows) + skipped} lines are not numbers; up to 2% are skipped",
        )
    notes = [f"{skipped} lines that are not numbers were left out"] if skipped else []
    if decimal_comma:
        notes.append("commas were read as decimal points")
    return _header_names(head, len(rows[0])), np.array(rows), notes


def _words(line: str, decimal_comma: bool) -> list[str]:
    if decimal_comma:
        return [word.strip().replace(",", ".") for word in line.split(";") if word.strip()]
    return [word for word in re.split(r"[\s,;]+", line) if word]


def _header_names(head: list[str], width: int) -> list[str]:
    """Return the names in the last header line that has one for each column, else none."""
    for line in reversed(head):
        words = [word for word in re.split(r"[\s,;]+", line.strip().lstrip("#%!*").strip()) if word]
        if len(words) == width and not any(
            re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", word, re.I) for word in words
        ):
            return [word.lower() for word in words]
    return []


def _chosen(choice: Mapping[str, str], names: list[str], width: int) -> dict[str, int]:
    roles: dict[str, int] = {}
    for role, wanted in choice.items():
        if role not in ROLES:
            raise Refused("file", f"no role {role!r} for a column; roles: {', '.join(ROLES)}")
        if wanted.isdigit() and 0 < int(wanted) <= width:
            roles[role] = int(wanted) - 1
        elif wanted.lower() in names:
            roles[role] = names.index(wanted.lower())
        else:
            raise Refused(
                "file", f"no column {wanted!r} for {role}; {width} columns: {_listed(names)}"
            )
    return roles


def _guess_energy(names: list[str], notes: list[str]) -> int:
    found = _named("energy", names)
    if found is None:
        found = 0
        notes.append("the first column was read as the energy")
    return found


def _guess_absorption(
    roles: dict[str, int], names: list[str], width: int, notes: list[str]
) -> None:
    named = {role: _named(role, names) for role in ROLES[1:]}
    for wanted in (("mu",), ("i0", "it"), ("i0", "iff")):
        if all(named[role] is not None for role in wanted):
            for role in (*wanted, *(("ir",) if "it" in wanted else ())):
                column = named[role]
                if column is not None:
                    roles.setdefault(role, column)
            used = ", ".join(names[roles[role]] for role in wanted)
            notes.append(f"the absorption was calculated from {used}, as the header names them")
            return
    if width == 2:
        roles["mu"] = 1 if roles["energy"] == 0 else 0
        notes.append(f"column {roles['mu'] + 1} was read as the absorption")
        return
    raise Refused(
        "file",
        f"which of the {width} columns ({_listed(names)}) is the absorption? "
        "give --columns energy=...,mu=... or energy=...,i0=...,it=...",
    )


def _named(role: str, names: list[str]) -> int | None:
    return next((i for i, name in enumerate(names) if re.fullmatch(_NAMES[role], name)), None)


def _in_ev(energy: Floats) -> tuple[Floats, list[str]]:
    """Return the energies in eV, with a note where they were in keV."""
    finite = energy[np.isfinite(energy)]
    if not finite.size:
        raise Refused("file", "the energy column holds no number")
    low, high = float(finite.min()), float(finite.max())
    if _EV[0] / 1000 <= low and high <= _EV[1] / 1000:
        return energy * 1000.0, [f"energies of {low:g}-{high:g} were read as keV"]
    if low > 5.0 and high < 80.0:
        raise Refused(
            "file",
            f"the energy column runs from {low:g} to {high:g}, which looks like the angle of the "
            "monochromator in degrees; convert it to eV with the crystal's d-spacing",
        )
    return energy, []


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "columns without names"
