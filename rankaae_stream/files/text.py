"""Read numbers from the text that an instrument or a spreadsheet wrote.

All text formats are read here: this is the only place for encodings, decimal commas,
exponents, line ends, lines that were cut, and remarks between the rows. The lines are read
once, in a time proportional to their number.
"""

import math
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.header import MARKS, begins_scan
from rankaae_stream.spectrum import Floats

__all__ = ["MAX_LINES", "Block", "decode", "find_blocks", "listed_lines", "split_lines"]

MAX_LINES = 2_000_000
"""Most lines that are read. With the limit on bytes, this limits the memory to about 1 GB."""
FEWEST = 10
"""Fewest rows of a table beside longer ones; fewer are a header, or a scan that was aborted."""
MOST = 1000
"""Most tables of a text, and most columns of a table."""
SAMPLE = 100
"""Rows that tell how numbers are written."""
SETTLED = 3
"""Rows of the same width that begin a table; after them it may be interrupted."""
UNREAD = 0.02
"""Largest share of lines that are skipped."""

_DECIMAL_COMMA = re.compile(r"[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+(?:[eEdD][-+]?\d+)?")
_NUMBERS = re.compile(r'[\d\s.,;"+\-eEdD:/TZ]+')
_SEPARATORS = re.compile(r"\s*[,;]\s*|\s+")
_FORTRAN = re.compile(r"[dD](?=[-+]?\d+$)")
_CLOCK = re.compile(
    r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?|\d{1,4}([-/])\d{1,2}\3\d{1,4}(T[\d:.,]+)?(Z|[+-]\d\d:?\d\d)?"
)
"""A time of day, a date, or both in one word."""
_TYPOGRAPHY = {0xA0: " ", 0x2009: " ", 0x202F: " ", 0x2212: "-"}
"""Blanks that do not break, and the minus sign, as programs for texts write them."""
_NO_VALUE = frozenset({"", "-", "--", "n/a", "na", "null", "none"})


@dataclass(slots=True)
class Block:
    """One table of a text: the lines before it, and its rows.

    Attributes
    ----------
    head : list of str
        Lines since the last table, as written, without blank ones.
    numbers : list of int
        Line numbers of `head`.
    rows : (n, c) array
    line : int
        Line number of the first row.
    notes : list of str
        One sentence for each group of lines that was left out.
    """

    head: list[str]
    numbers: list[int]
    rows: Floats
    line: int
    notes: list[str] = field(default_factory=list[str])


def decode(content: bytes) -> str:
    """Return a file's text, UTF-8, UTF-16 or Latin-1, without byte-order mark.

    Raises
    ------
    Refused
        ``file`` when it is binary.
    """
    text = _decoded(content)
    return text if text.isascii() else text.translate(_TYPOGRAPHY)


def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    start = content[:4096]
    if b"\0" in start:
        # In UTF-16 every second byte of plain numbers is zero.
        for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            if (
                start[first::2].count(0) > 0.9 * (len(start) // 2)
                and 0 not in start[1 - first :: 2]
            ):
                return content.decode(encoding, errors="replace")
        # A file that a power failure cut is filled up with zeros.
        if b"\n" not in start or b"\0" in content.rstrip(b"\0")[:4096]:
            ssrl = "; save it as ASCII with SSRL's programs" if content[:4] == b"SSRL" else ""
            raise Refused("file", f"the file is binary, not columns of numbers{ssrl}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def split_lines(text: str) -> list[str]:
    r"""Split at ``\n``, ``\r\n`` and ``\r``.

    Raises
    ------
    Refused
        ``file`` when there are more than `MAX_LINES` lines.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") >= MAX_LINES:
        raise Refused("file", f"more than {MAX_LINES:,} lines; a spectrum has fewer")
    return text.split("\n")


def find_blocks(text: str) -> list[Block]:
    """Find the tables of numbers in a text.

    A new table begins at a header that names columns again, or where the number of columns
    changes for at least `SETTLED` rows. Single lines that do not fit are skipped, with a note.

    Raises
    ------
    Refused
        ``file`` when there is no table, or too many lines do not fit.
    """
    if re.match(r"\s*(<!doctype|<html|<\?xml)", text[:1000], re.IGNORECASE):
        raise Refused("file", "the file is a web page (HTML or XML), not data; download it again")
    lines = split_lines(text)
    scanner = _Scanner()
    parse, comma = _number_parser(lines)
    single = 0
    lines_of_data = enumerate(lines, 1)
    for number, line in lines_of_data:
        start = line.lstrip("\x1a\0 \t")[:1]
        if not start.strip():
            continue
        if start == "@":  # a spectrum of a multichannel analyser in a SPEC file
            _skip_continued(line, lines_of_data)
            continue
        row = None if start in MARKS else parse(line)
        if row is not None and len(row) > 1:
            scanner.numbers(number, row)
        else:
            single += row is not None
            scanner.text(number, line, marked=start in MARKS)
    blocks = scanner.finish()
    if not blocks:
        found = f"{single} rows of 1 column" if single else "no line of numbers"
        raise Refused("file", f"{found}; a spectrum needs a column of energy and one of absorption")
    if comma:
        for block in blocks:
            block.notes.append("commas were read as decimal points")
    return blocks


class _Scanner:
    """Collect rows into tables, line by line."""

    def __init__(self) -> None:
        self._tables: list[_Rows] = []
        self._between: list[tuple[int, str, bool]] = []
        self._misfits: list[tuple[int, list[float]]] = []

    def text(self, number: int, line: str, *, marked: bool) -> None:
        """Take a line that is not a row."""
        self._between.append((number, line, marked))

    def numbers(self, number: int, row: list[float]) -> None:
        """Take a row: the next of the table, the first of a new one, or one that does not fit."""
        table = self._tables[-1] if self._tables else None
        if table is None or self._ends(table, len(row)):
            self._begin(number, row)
        elif len(row) == table.width:
            if self._between or self._misfits:
                self._leave_out(table, inside=True)
            table.values.extend(row)
        else:
            if self._misfits and len(self._misfits[-1][1]) != len(row):
                self._leave_out(table, inside=True)
            self._misfits.append((number, row))
            if len(self._misfits) == SETTLED:
                (number, row), *more = self._misfits
                self._misfits = []
                self._begin(number, row)
                for _, following in more:
                    self._tables[-1].values.extend(following)

    def finish(self) -> list[Block]:
        """Return the tables, without the numbers that belong to a header."""
        if not self._tables:
            return []
        self._leave_out(self._tables[-1], inside=False)
        longest = max(table.count for table in self._tables)
        for before, table in pairwise(self._tables if longest < SETTLED else ()):
            if not begins_scan([text for _, text in table.head], table.width):
                raise _ragged(table.line, table.width, before.width)
        blocks: list[Block] = []
        head: list[tuple[int, str]] = []
        for table in self._tables:
            if table.count >= min(FEWEST, longest):
                blocks.append(table.close(head))
                head = []
            elif not blocks:
                head += table.head
            else:
                short = f"a table of {table.count} rows at line {table.line} was left out"
                blocks[-1].notes.append(short)
        return blocks

    def _ends(self, table: "_Rows", width: int) -> bool:
        """Return whether a row of `width` begins another table."""
        if table.count < SETTLED and (self._between or table.width != width):
            return True  # numbers of a header
        return bool(self._between) and begins_scan([text for _, text, _ in self._between], width)

    def _begin(self, number: int, row: list[float]) -> None:
        if len(self._tables) >= MOST or len(row) > MOST:
            raise Refused("file", f"more than {MOST} tables or columns; a spectrum has fewer")
        head, self._between = [(line, text) for line, text, _ in self._between], []
        if self._tables:
            self._leave_out(self._tables[-1], inside=False)
        self._tables.append(_Rows(head, number, len(row)))
        self._tables[-1].values.extend(row)

    def _leave_out(self, table: "_Rows", *, inside: bool) -> None:
        """Note rows that were cut, and remarks without a comment character."""
        for number, row in self._misfits:
            if len(row) > table.width:
                raise _ragged(number, len(row), table.width)
            table.cut.append((number, len(row)))
        unmarked = [number for number, _, marked in self._between if not marked]
        table.unread += unmarked
        table.inside += (len(unmarked) + len(self._misfits)) * inside
        self._misfits, self._between = [], []


@dataclass(slots=True)
class _Rows:
    """A table while it is read."""

    head: list[tuple[int, str]]
    line: int
    width: int
    values: "array[float]" = field(default_factory=lambda: array("d"))
    cut: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    unread: list[int] = field(default_factory=list[int])
    inside: int = 0

    @property
    def count(self) -> int:
        return len(self.values) // self.width

    def close(self, head: list[tuple[int, str]]) -> Block:
        if self.inside > UNREAD * self.count:
            lines = self.inside + self.count
            raise Refused(
                "file", f"{self.inside} of {lines} lines are not numbers; up to 2% are skipped"
            )
        notes = [
            f"line {number} has {width} of {self.width} columns and was left out"
            for number, width in self.cut
        ]
        if self.unread:
            notes.append(f"{listed_lines(self.unread)} no numbers and left out")
        rows = np.frombuffer(self.values, dtype=np.float64).reshape(-1, self.width)
        head = [*head, *self.head]
        lines, numbers = [text for _, text in head], [number for number, _ in head]
        return Block(lines, numbers, rows, self.line, notes)


def _ragged(line: int, width: int, before: int) -> Refused:
    if width == before:
        return Refused("file", f"the lines before line {line} are no rows of the table")
    return Refused("file", f"line {line} has {width} columns, the lines before have {before}")


def listed_lines(numbers: list[int]) -> str:
    """Name lines in words: ``line 7 is``, ``lines 7, 9 and 12 others are``."""
    if len(numbers) == 1:
        return f"line {numbers[0]} is"
    shown = ", ".join(map(str, numbers[:3]))
    more = f" and {len(numbers) - 3} others" if len(numbers) > 3 else ""
    return f"lines {shown}{more} are"


def _skip_continued(line: str, following: Iterable[tuple[int, str]]) -> None:
    """Skip the lines that continue a line which ends in a backslash."""
    while line.endswith("\\"):
        _, line = next(iter(following), (0, ""))


def _number_parser(lines: list[str]) -> tuple[Callable[[str], list[float] | None], bool]:
    """Return a function that reads a line as a row, and whether commas are decimal points."""
    comma = _has_decimal_commas(lines)
    # A separator at the end is an empty cell, but where every line ends with one.
    ends = [line.rstrip()[-1:] for line in _sample(lines)]
    closed = bool(ends) and set(ends) <= {",", ";"}

    def parse(line: str) -> list[float] | None:
        if '"' in line:
            line = line.replace('","', ";").replace('"', "")
        if comma:
            words = re.split(r"\s*;\s*|\s+", line.strip().strip(";"))
            words = [w.replace(".", "").replace(",", ".") if "," in w else w for w in words]
        elif "," in line or ";" in line:
            line = line.strip()
            words = _SEPARATORS.split(line[:-1] if closed else line)
        else:
            words = line.split()
        try:
            return [float(word) for word in words]
        except ValueError:
            return _unusual(words)

    return parse, comma


def _unusual(words: list[str]) -> list[float] | None:
    """Read a row with Fortran's exponents, stars, empty cells, times; return None for words."""
    row: list[float] = []
    for word in words:
        if word.lower() in _NO_VALUE or not word.strip("*") or _CLOCK.fullmatch(word):
            row.append(float("nan"))
            continue
        try:
            row.append(float(_FORTRAN.sub("e", word)))
        except ValueError:
            return None
    return row if sum(map(math.isfinite, row)) > 1 else None


def _sample(lines: list[str]) -> Iterator[str]:
    """Return the first lines that hold numbers only."""
    found = (line for line in lines if re.search(r"\d", line) and _NUMBERS.fullmatch(line))
    return islice(found, SAMPLE)


def _has_decimal_commas(lines: list[str]) -> bool:
    """Return whether numbers are written as 7112,5, by the first lines that are all numbers."""
    yes = no = 0
    for line in _sample(lines):
        words = re.split(r"[\s;]+", line.replace('","', ";").replace('"', "").strip("; \t"))
        numbers = [word for word in words if "," in word]
        if len(words) > 1 and numbers and all(_DECIMAL_COMMA.fullmatch(word) for word in numbers):
            yes += 1
        else:
            no += "," in line or "." in line
    return yes > 9 * no
