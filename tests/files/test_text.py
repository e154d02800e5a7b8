"""Numbers as people write them, and texts that are long, broken or made to be slow."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream.errors import Refused
from rankaae_stream.files.athena import read_athena
from rankaae_stream.files.columns import read_columns, text_tables
from rankaae_stream.files.roles import role_of
from rankaae_stream.files.text import MAX_LINES, decode

CASES = Path(__file__).parents[1] / "data" / "cases" / "files"
ROWS = [(7000.5, 0.1), (7001.5, 0.2), (7002.5, 0.3)]


def table(text):
    (found,) = text_tables(text if isinstance(text, bytes) else text.encode())
    return found


@pytest.mark.parametrize(
    "text",
    [
        "7000.5 0.1\n7001.5 0.2\n7002.5 0.3\n",
        "7000.5\t0.1\r\n7001.5\t0.2\r\n7002.5\t0.3\r\n",
        "7000.5 0.1\r7001.5 0.2\r7002.5 0.3\r",
        "7000.5, 0.1\n7001.5, 0.2\n7002.5, 0.3\n",
        "7000.5,0.1,\n7001.5,0.2,\n7002.5,0.3,\n",
        '"7000.5","0.1"\n"7001.5","0.2"\n"7002.5","0.3"\n',
        "7000,5;0,1\n7001,5;0,2\n7002,5;0,3\n",
        "7000,5\t0,1\n7001,5\t0,2\n7002,5\t0,3\n",
        "  7000,5   0,1\n  7001,5   0,2\n  7002,5   0,3\n",
        '"7000,5","0,1"\n"7001,5","0,2"\n"7002,5","0,3"\n',
        "7.000,5;0,1\n7.001,5;0,2\n7.002,5;0,3\n",
        "0.70005D+04 0.1D0\n0.70015D+04 0.2D+00\n7.0025d3 3.d-1\n",
        "70005e-1 1E-1\n+7001.5 .2\n7002.5 0.3\n",
        "7000.5\u00a00.1\n7001.5\u202f0.2\n7002.5\u00a0 0.3\n",
    ],
)
def test_numbers_are_read_however_they_are_written(text):
    np.testing.assert_allclose(table(text).rows, ROWS)


def test_commas_are_decimal_only_where_no_number_has_a_point():
    assert table("7000,0.1\n7001,0.2\n").rows.tolist() == [[7000, 0.1], [7001, 0.2]]
    assert table("7000,1\n7001,2\n").rows.tolist() == [[7000, 1], [7001, 2]]
    header = "Version 1.2; E0 = 7112.0\n"
    assert table(f"{header}7000,5;0,1\n7001,5;0,2\n").rows[0].tolist() == [7000.5, 0.1]


def test_missing_cells_are_no_numbers_and_keep_their_column():
    found = table("# energy,mu,x\n7000,,1\n7001,2,\n7003,***,5\n")
    nan = np.nan
    np.testing.assert_array_equal(found.rows, [[7000, nan, 1], [7001, 2, nan], [7003, nan, 5]])
    assert found.notes == ()


@pytest.mark.parametrize(
    "clock",
    ["12:00:05", "9:05", "12:00:05.250", "2025-11-26", "26/11/2025", "2025-11-26T12:00:05.5Z"],
)
@pytest.mark.parametrize("separator", [" ", ",", "\t", ";"])
def test_a_time_in_each_row_is_a_column_without_numbers(clock, separator):
    lines = [["energy", "when", "mu"], ["7000.5", clock, "0.15"], ["7001.5", clock, "-0.25"]]
    found = table("".join(separator.join(line) + "\n" for line in lines))
    assert found.names == ("energy", "when", "mu")
    expected = [[7000.5, np.nan, 0.15], [7001.5, np.nan, -0.25]]
    np.testing.assert_array_equal(found.rows, expected)


def test_no_digit_is_lost_where_every_row_holds_a_word():
    found = table("when,energy,mu\nna,7000.5,0.15\nna,7001.5,0.25\n")
    np.testing.assert_array_equal(found.rows[:, 1:], [[7000.5, 0.15], [7001.5, 0.25]])


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
)
def test_a_text_is_decoded_whatever_its_encoding(encoding):
    text = "# Energie/eV mu 25 °C\n7000.5 0.1\n7001.5 0.2\n7002.5 0.3\n"
    if encoding.startswith("utf-16-"):
        text = text.replace("°", "")
    assert decode(text.encode(encoding)) == text
    np.testing.assert_allclose(table(text.encode(encoding)).rows, ROWS)


BLOCK = "".join(f"{7000 + i} {i} {i * 2}\n" for i in range(60))


@pytest.mark.parametrize(
    ("text", "rows", "note"),
    [
        (BLOCK + "7060 1", 60, "line 61 has 2 of 3 columns and was left out"),
        (BLOCK + "7060\n", 60, "line 61 is no numbers and left out"),
        (BLOCK + "7060 1 -", 61, ""),
        (BLOCK + "aborted by user\n", 60, "line 61 is no numbers and left out"),
        (BLOCK + "# aborted by user\n", 60, ""),
        (BLOCK + "beam dump\n" + BLOCK.replace("70", "71"), 120, "line 61 is no numbers"),
        (BLOCK + "7061 1\n" + BLOCK.replace("70", "71"), 120, "line 61 has 2 of 3 columns"),
        ("3 4\n" + BLOCK, 60, ""),
        ("Points\n60\nWeights\n1 1 1\nOffsets\n0 0 0\nData\n" + BLOCK, 60, ""),
        (BLOCK + "\x1a", 60, ""),
        (BLOCK + "\0" * 100, 60, ""),
    ],
)
def test_lines_that_do_not_fit_are_left_out_and_said(text, rows, note):
    found = table(text)
    assert found.rows.shape == (rows, 3)
    assert note in "; ".join(found.notes)
    assert bool(note) == bool(found.notes)


def test_a_table_with_too_many_lines_that_do_not_fit_is_refused():
    text = BLOCK + "".join(f"{7100 + i} {i} 0\nx\n" for i in range(20))
    with pytest.raises(Refused, match=r"19 of 99 lines are not numbers; up to 2% are skipped"):
        text_tables(text.encode())


HEAD = "# scan {}\n# energy mu\n"
SCAN = "".join(f"{7000 + i} {i}\n" for i in range(20))


def test_a_header_between_the_rows_begins_another_scan():
    text = HEAD.format(1) + SCAN + HEAD.format(2) + SCAN
    assert [t.rows.shape for t in text_tables(text.encode())] == [(20, 2), (20, 2)]
    assert [m.label for m in read_columns(text.encode())] == ["1", "2"]


def test_regions_under_headers_of_their_own_are_one_scan():
    later = "".join(f"{7020 + i} {i}\n" for i in range(20))
    text = HEAD.format(1) + SCAN + HEAD.format("1, region 2") + later
    assert table(text).rows.shape == (40, 2)


def test_a_scan_without_a_spectrum_is_left_out_beside_others():
    other = "#S 2 ascan samx\n#L samx  det\n" + "".join(f"{i} {i}\n" for i in range(12))
    third = "#S 3 escan\n#L Energy  I0  It\n" + BLOCK
    found = read_columns(("#F x\n#S 1 escan\n#L Energy  I0  It\n" + BLOCK + other + third).encode())
    assert [m.label for m in found if m.columns == ("I0", "It")] == ["1", "3"]


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("# energy i0 it", ["energy", "i0", "it"]),
        ("# energy i0 it\n#-----------", ["energy", "i0", "it"]),
        ("# energy i0 it\n# eV nA nA", ["energy", "i0", "it"]),
        ("# energy (eV)  i0 (nA)  it (nA)", ["energy", "i0", "it"]),
        ("# energy (eV) i0 (nA) it (nA)", ["energy", "i0", "it"]),
        ("Mono Energy\tIon Chamber 0\tIon Chamber 1", ["Mono Energy", "Ion Chamber 0"]),
        ("# 1) Mono Energy *  3) IT\n#  2) I0\n#\n# Headings:\n#a b c d", ["Mono Energy", "I0"]),
        ("# Column 1: energy\n# Column 2: i0\n# Column 3: it\n# a remark", ["energy", "i0", "it"]),
        ("%d\n Col 1 ENERGY DOUBLE\n Col 2 I0 DOUBLE\n Col 3 IT DOUBLE", ["ENERGY", "I0", "IT"]),
        ("; D1 = {I0}  --> 13BMD:a\n; P1 = {Energy} --> b\n;----\n; P1 D1 D2", ["Energy", "I0"]),
        ("# 1: Energy\n# 2: I0 (nA)\n# 3: It", ["Energy", "I0", "It"]),
        ("// energy i0 it", ["energy", "i0", "it"]),
        ("# 12:30 energy i0 it\n# 1: of three", []),
        ("# energy of i0 at it\n# 12% N2 in", []),
        ("# 90% N2 it, i0, energy\n# then the user wrote a long remark here", []),
    ],
)
def test_names_are_taken_from_where_programs_put_them_only(head, names):
    found = table(f"{head}\n{BLOCK}").names
    assert list(found)[: len(names)] == names
    assert bool(found) == bool(names)


NASTY = {
    "blanks in a project": b"# Athena project file\n@x = " + b" " * 300_000 + b"a\n[record]\n",
    "quotes in a project": b"# Athena project file\n@args = ("
    + b"'\\', " * 60_000
    + b")\n@x=(1)\n",
    "blanks in a header": b"#" + b" " * 300_000 + b"a\n7000 1\n7001 2\n",
    "equal signs in a header": b"# a" + b" = " * 100_000 + b"\n7000 1\n7001 2\n",
    "words in a header": b"# " + b"energy " * 50_000 + b"\n7000 1\n7001 2\n",
    "a list in a header": b"# " + b" 1) a" * 50_000 + b"\n7000 1\n7001 2\n",
    "short tables": b"7000 1\n# energy mu\n" * 15_000,
    "changing widths": b"7000 1\n7000 1 2\n" * 20_000,
    "many columns": b"1 " * 150_000 + b"\n",
    "commas": b"," * 300_000 + b"\n",
    "decimal commas": b"7000,5;0,1\n" * 27_000,
    "exponents": b"7.0D+03 1.0D+00\n" * 18_000,
    "to and fro": b"7000 1\n7300 1\n" * 21_000,
    "backslashes": b"@A 1 2\\\n" * 40_000,
    "clocks": b"7000 12:00:00 1\n" * 18_000,
    "half a clock": b"7000 " + b"12:00:" * 50_000 + b" 1\n",
    "digits": b"1" * 300_000 + b" 2\n",
    "angle brackets": b" " * 300_000 + b"<html>\n",
}


@pytest.mark.parametrize("name", NASTY)
def test_no_text_of_300_kb_takes_more_than_two_seconds_of_the_processor(name):
    began = time.process_time()
    with contextlib.suppress(Refused):
        reader = read_athena if "project" in name else read_columns
        assert reader(NASTY[name])
    assert time.process_time() - began < 2.0


def test_more_lines_than_a_spectrum_has_are_refused_before_they_are_split():
    with pytest.raises(Refused, match="more than 2,000,000 lines"):
        read_columns(b"1\n" * MAX_LINES)


def test_numbers_too_large_for_a_float_are_refused():
    project = b'{"_h": "Athena project file", "g": {"x": [1' + b"0" * 400 + b'], "y": [1]}}'
    with pytest.raises(Refused, match="values that are not numbers"):
        read_athena(project)
    with pytest.raises(Refused, match="no column '²' for energy"):
        read_columns(b"7000 1\n7100 2\n", {"energy": "²", "mu": "2"})


HEADS = sorted(path for path in CASES.iterdir() if path.is_file() and path.suffix != ".prj")


@given(st.data())
def test_a_case_that_was_damaged_is_read_or_refused(data):
    content = bytearray(data.draw(st.sampled_from(HEADS)).read_bytes()[:3000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content)))
        new = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(LINES)))
        content[at : at + data.draw(st.integers(0, 40))] = new
    with contextlib.suppress(Refused):
        for found in read_columns(bytes(content)):
            assert found.energy.shape == found.mu.shape


LINES = [
    b"\n",
    b"\r",
    b"\n#S 2 x\n",
    b"\n# XDI/1.0\n",
    b"\n7000 1 2 3\n",
    b"\n;",
    b"\\\n",
    b'"',
    b"nan ",
]


@given(
    st.text(max_size=300), st.sampled_from(["", "# energy i0 it\n", "  9809 KEK\n", "#S 1 a\n#L "])
)
def test_any_text_is_read_or_refused(text, head):
    with contextlib.suppress(Refused):
        assert read_columns(f"{head}{text}\n7000 1 2\n7001 2 3\n".encode())


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("foil", "ir"),
        ("I_foil", "ir"),
        ("Ifoil (nA)", "ir"),
        ("mu_foil", "mu_ref"),
        ("iref", "ir"),
        ("mu_ref", "mu_ref"),
        ("foil_bkg", None),
    ],
)
def test_the_foil_has_many_names(name, role):
    found = role_of(name)
    assert (found and found.name) == role
