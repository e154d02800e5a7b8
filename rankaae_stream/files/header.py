"""Read the header of a text file: the names of its columns, the element, the edge.

Names are taken only from where programs put them: numbered lists (``Column.2: i0``,
``Col 2 I0``, `` 2) I0``, ``2: I0``), codes that a list explains (``D1 = {I0} --> PV``), and the
line right before the data.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rankaae_stream.files.roles import UNITS, is_axis

__all__ = ["MARKS", "begins_scan", "facts", "names", "unmarked"]

MARKS = frozenset("#%!*;/")
"""Characters that begin a line of remarks."""
LONGEST = 2000
"""Lines of a header that are read, from its beginning and from its end."""

_NUMBERED = re.compile(
    r"(?:(?:col(?:umn)?)[\s._#-]*(\d{1,4})\s*[:=.)]?|(\d{1,4})\s*(?:\)|[:=.]\s))\s*(.+)", re.I
)
_SEVERAL = re.compile(r"(?<=\s)(?=\d{1,4}\)\s)")
_CODE = re.compile(r"([A-Za-z]{1,3}\d{1,4})\s*=\s*\{?([^{}]+?)\}?\s*(?:-->.*)?")
_SENTENCE = re.compile(r"an|and|are|at|by|for|from|in|is|of|on|or|the|to|was|were|with")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[ed][-+]?\d+)?%?", re.I)
_SCAN = re.compile(r"#\s*XDI/|#S\s+\d|%d\b|Data:|\s+9809\s|\s*Mode(\s+\d+){2}", re.I)
_FIELD = re.compile(r"([A-Za-z][\w .\-/()]{0,40}?)\s*[:=]\s*(.*)")
_NAMED: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "element": re.compile(r"(element(\.symbol)?|absorber|absorbing (atom|element)|symbol)"),
        "edge": re.compile(r"(element\.edge|edge|absorption edge)"),
        "e0": re.compile(r"(e_?0( ?\(ev\))?|edge[ _.]energy( ?\(ev\))?|scan\.edge_energy)"),
        "d_spacing": re.compile(r"(mono\.)?(d|2d|d_?-?spacing|mono_?d_?spacing)"),
        "crystal": re.compile(r"(mono\.name|mono(chromator)?|crystals?|diffraction element)"),
    }
)


def names(head: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """Find the names of `width` columns, and their codes.

    Parameters
    ----------
    head : sequence of str
        The lines before the data, without blank ones.
    width : int

    Returns
    -------
    names : list of str
        As written, or empty. A column that is missing in a numbered list is named by the line
        before the data, or ``column7``.
    codes : list of str
        Names in the line before the data, or empty.
    """
    last = _last_line(head, width)
    numbered = _numbered(head, width)
    if numbered:
        named = [numbered.get(i, f"column{i}") for i in range(1, width + 1)]
        if last:
            named = [numbered.get(i, name) for i, name in enumerate(last, 1)]
        return named, last
    codes = {
        found[1]: found[2].strip()
        for line in _ends(head)
        if (found := _CODE.fullmatch(unmarked(line)))
    }
    return [codes.get(name, name) for name in last], last


def begins_scan(lines: Sequence[str], width: int) -> bool:
    """Return whether the lines between two rows are the header of another scan, not a remark."""
    if any(_SCAN.match(line) for line in _ends(lines)):
        return True
    return any(is_axis(name) for name in names(lines, width)[0])


def facts(head: Iterable[str]) -> dict[str, str]:
    """Return every ``key: value`` and ``key = value`` of a header, keys in lower case.

    Keys with several usual names are also there as ``element``, ``edge``, ``e0``,
    ``d_spacing`` and ``crystal``.
    """
    found: dict[str, str] = {}
    for line in _ends(list(head)):
        match = _FIELD.match(unmarked(line)[:1000])
        if match is None:
            continue
        key, value = match[1].lower(), match[2].split("||")[0].strip().strip('"')
        found.setdefault(key, value)
        for name, pattern in _NAMED.items():
            if value and pattern.fullmatch(key):
                found.setdefault(name, value)
    return found


def unmarked(line: str) -> str:
    """Return a line without the marks and blanks before it, nor the letter of ``#L``, ``#C``."""
    text = line.strip()
    if re.match(r"#[CL]\s", text):
        text = text[2:]
    return text.lstrip("".join(MARKS) + " \t")


def split_names(line: str, width: int) -> list[str]:
    """Split a line into `width` names, or return an empty list.

    It is split at quotes, tabs, two blanks or more, commas, or single blanks, whichever gives
    `width` names first; a unit in brackets stays with its name.
    """
    text = unmarked(line)[:20_000]
    for parts in (
        re.findall(r'"([^"]*)"', text),
        text.split(";"),
        text.split("\t"),
        re.split(r"\s{2,}|\t", text),
        re.split(r"\s*[,;]\s*", text),
        re.split(r"[\s,;]+", re.sub(r"\s+(?=[(\[])", "", text)),
        re.split(r"[\s,;]+", text),
        re.split(r"\s*\*\s*|\s{2,}", text),
    ):
        found = [part.strip(' \t",*') for part in parts]
        if len(found) == width and all(found) and not any(_no_name(name) for name in found):
            return found
    return []


def _no_name(text: str) -> bool:
    return bool(
        _NUMBER.fullmatch(text) or _SENTENCE.fullmatch(text.lower()) or not set(text) - set("-=_/")
    )


def _last_line(head: Sequence[str], width: int) -> list[str]:
    """Return the names in the line before the data; rulers, units and counts may be between."""
    for line in reversed(head[-LONGEST:]):
        text = unmarked(line)
        if not re.search(r"[A-Za-z]", text):
            continue
        words = re.findall(r"[^\s,;\t\[\]()]+", text.lower())
        if len(words) > 1 and all(word in UNITS for word in words):
            continue
        return split_names(line, width)
    return []


def _numbered(head: Sequence[str], width: int) -> dict[int, str]:
    """Return the names of a numbered list, by column, if one of them is the energy."""
    found: dict[int, str] = {}
    for line in _ends(head):
        for part in _SEVERAL.split(unmarked(line)[:1000]):
            match = _NUMBERED.fullmatch(part.strip())
            if match is None:
                continue
            name = match[3].split("||")[0].strip(' \t*"')
            # A type of number is no part of the name: Col 1 ENERGY DOUBLE.
            name = re.sub(r"\s+(DOUBLE|FLOAT|INTEGER|STRING|LONG)$", "", name)
            if name:
                found.setdefault(int(match[1] or match[2]), name)
    if found and min(found) == 0:
        found = {i + 1: name for i, name in found.items()}
    inside = {i: name for i, name in found.items() if i <= width}
    return inside if any(is_axis(name) for name in inside.values()) else {}


def _ends(lines: Sequence[str]) -> Sequence[str]:
    """Return the first and the last lines of a long header."""
    return lines if len(lines) <= 2 * LONGEST else [*lines[:LONGEST], *lines[-LONGEST:]]
