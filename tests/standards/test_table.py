"""Tables of standards: what is read, and what is said of a bad one."""

import pytest

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.standards.table import left_out_groups, read_table

GOOD = "file,valence,compound\na.dat,2,FeO\nb.dat,3,Fe2O3\n"


@pytest.fixture
def table(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.dat").write_text("1 2\n")

    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return path

    return write


def test_a_table_names_file_valence_and_compound(table):
    rows = read_table(table(GOOD))
    assert [(row.valence, row.compound) for row in rows] == [(2.0, "FeO"), (3.0, "Fe2O3")]
    assert rows[0].file.endswith("a.dat")


def test_spreadsheets_write_it_with_semicolons_and_a_mark(table):
    text = "﻿File; oxidation_state\na.dat; 2\nb.dat::second; 3\n"
    rows = read_table(table(text))
    assert rows[1].file.endswith("b.dat::second")
    assert rows[0].compound == "a.dat"


def test_a_toml_holds_the_same(table):
    text = '[[standard]]\nfile="a.dat"\nvalence=2\n[[standard]]\nfile="b.dat"\nvalence=3.0\n'
    assert [row.valence for row in read_table(table(text, "t.toml"))] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no standard"),
        ("file,valence\n", "holds no standard"),
        ("file,valence\na.dat,2\n", "one compound"),
        ("file,valence,compound\na.dat,2,FeO\nb.dat,3,FeO\n", "one compound"),
        ("file,valence\na.dat,3\nb.dat,3\n", "two valences"),
        ("file,valence\na.dat,two\nb.dat,3\n", "'two' is no number"),
        ("file,valence\na.dat,nan\nb.dat,3\n", "is no number"),
        ("file,valence\na.dat\nb.dat,3\n", "no valence"),
        ("valence\n2\n3\n", "no file"),
        ("file,valence,colour\na.dat,2,red\nb.dat,3,red\n", "colour is unknown"),
        ("file,valence\nmissing.dat,2\nb.dat,3\n", "no file "),
        (b"file,valence\n\xff\xfe,2\n", "utf-8"),
        ("file,valence\n" + "a.dat,2\n" * 2001, "at most 2000"),
    ],
)
def test_a_bad_table_says_what_to_write(table, text, said):
    with pytest.raises(ConfigurationError, match=said):
        read_table(table(text))


@pytest.mark.parametrize("text", ["standard = 3", "[[standard]]\nfile = ", '[standard]\nfile="a"'])
def test_a_bad_toml_says_so(table, text):
    with pytest.raises(ConfigurationError, match="--standards"):
        read_table(table(text, "t.toml"))


def test_no_table_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize("blocks", [1, 0, -3, 7])
def test_blocks_are_two_or_more_and_no_more_than_standards(blocks):
    with pytest.raises(ConfigurationError, match="choose 2 to 6"):
        left_out_groups(list("abcdef"), blocks)
