"""Athena projects and plain columns, and files that are something else."""

import contextlib
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rankaae_stream.errors import Refused
from rankaae_stream.files.athena import is_athena, read_athena
from rankaae_stream.files.columns import read_columns
from rankaae_stream.files.read import read_file

HERE = Path(__file__).parents[1]
GOLDEN = json.loads((HERE / "goldens" / "larch_athena.json").read_text())
PROJECT = (HERE / "data" / "athena.prj").read_bytes()
PERL = gzip.decompress(PROJECT)


def record(x, y):
    head = b"# Athena project file\n@args = ('label','a');\n"
    return head + b"@x = (" + x + b");\n@y = (" + y + b");\n[record]\n"


@pytest.mark.parametrize("content", [PROJECT, PERL], ids=["gzipped", "plain"])
def test_a_project_reads_as_larch_reads_it(content):
    assert is_athena(content)
    groups = read_athena(content)
    assert [group.label for group in groups] == [group["label"] for group in GOLDEN["groups"]]
    for ours, larchs in zip(groups, GOLDEN["groups"], strict=True):
        np.testing.assert_array_equal(ours.energy, larchs["energy"])
        np.testing.assert_array_equal(ours.mu, larchs["mu"])
    assert [group.element for group in groups] == ["Fe", "V"]
    assert {group.shell for group in groups} == {"K"}


def test_perls_quoting_is_undone_and_nothing_is_evaluated():
    text = (
        "# Athena project file -- Demeter version 0.9.26\n"
        "$old_group = 'abc';\n"
        r"@args = ('label','it\'s system(\"rm\") (RT), \\ 10%','bkg_z','Mn');"
        "\n"
        "@x = ('6500.0','6501.0');\n@y = (0.1,0.2);\n[record]\n1;\n"
    )
    (group,) = read_athena(text.encode())
    assert group.label == r"it" + "'" + r's system("rm") (RT), \ 10%'
    assert group.element == "Mn"
    assert group.mu.tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    "args",
    [
        {"label": "one", "bkg_z": "V", "bkg_eshift": -0.5},
        ["label", "one", "bkg_z", "V", "bkg_eshift", "-0.5"],
    ],
)
def test_a_json_project_is_read_too(args):
    project = {
        "_____header1": "# Athena project file -- Demeter JSON",
        "abc": {"args": args, "x": ["1", "2"], "y": [3, 4]},
        "_____order": ["abc"],
    }
    (group,) = read_athena(json.dumps(project).encode())
    assert (group.label, group.element, group.mu.tolist()) == ("one", "V", [3.0, 4.0])
    assert group.energy.tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PROJECT[: len(PROJECT) // 2], "cut short"),
        (PERL[: PERL.rindex(b"[record]") - 10], "cut short inside a group"),
        (PROJECT[:100] + bytes(200) + PROJECT[300:], "damaged|cut short"),
        (b"# Athena project file -- Demeter\n1;\n", "holds no group"),
        (
            b"# Athena project file\n@args = ('a','b');\n@x = (1,2);\n@y = (1);\n[record]\n",
            "2 ener",
        ),
        (
            b"# Athena project file\n@args = ();\n@x = (1,two);\n@y = (1,2);\n[record]\n",
            "not numbers",
        ),
        (b'{"h": "# Athena project file", "g": {"x": [1', "damaged or cut short"),
    ],
)
def test_a_damaged_project_is_refused_with_the_reason(content, says):
    with pytest.raises(Refused, match=says):
        read_athena(content)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr("rankaae_stream.files.athena.MAX_BYTES", 100_000)
    bomb = gzip.compress(b"# Athena project file\n" + b" " * 1_000_000)
    with pytest.raises(Refused, match="unpacks to more than"):
        read_athena(bomb)


@pytest.mark.parametrize(
    ("text", "energy", "mu", "note"),
    [
        ("7112 0.1\n7113 0.2\n", [7112, 7113], [0.1, 0.2], "column 2 was read as the absorption"),
        ("# energy xmu\n7112 0.1\n", [7112], [0.1], "calculated from xmu"),
        ("energy,mu\n7112,0.1\n7113,0.2\n", [7112, 7113], [0.1, 0.2], "calculated from mu"),
        ("E;mu\n7112,5;0,1\n", [7112.5], [0.1], "commas were read as decimal points"),
        ("# e i0 it\n7112\t2\t1\n", [7112], [np.log(2)], "calculated from i0, it"),
        ("% energy i0 iff\n7112 2 1\n", [7112], [0.5], "calculated from i0, iff"),
        ("7.112 0.1\n7.113 0.2\n", [7112, 7113], [0.1, 0.2], "read as keV"),
        ("7113 0.2\n7112 0.1\n", [7113, 7112], [0.2, 0.1], "first column"),
    ],
    ids=["bare", "comment", "csv", "comma", "currents", "fluorescence", "keV", "falling"],
)
def test_columns_are_read_and_what_was_guessed_is_said(text, energy, mu, note):
    (found,) = read_columns(text.encode())
    np.testing.assert_allclose(found.energy, energy)
    np.testing.assert_allclose(found.mu, mu)
    assert any(note in said for said in found.notes), found.notes


def test_a_choice_of_columns_stands_above_every_guess():
    text = b"# energy mu other\n7112 1 2\n7113 3 4\n"
    (found,) = read_columns(text, {"energy": "1", "mu": "other"})
    assert found.mu.tolist() == [2, 4]
    assert found.notes == ()
    (found,) = read_columns(text, {"energy": "1", "i0": "3", "iff": "2"})
    assert found.channel == "fluorescence"
    np.testing.assert_allclose(found.mu, [0.5, 0.75])


def test_the_foil_channel_is_read_with_the_currents():
    (found,) = read_columns(b"# energy i0 it ir\n7112 4 2 1\n")
    np.testing.assert_allclose(found.reference, np.log([2.0]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x7fELF\0\0\0", "binary"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"7112 1\n7113 1 2\n", "line 2 has 3 columns"),
        (b"7112\n7113\n", "a column of energy and one of absorption"),
        (b"words only\n", "no line of numbers"),
        (b"16.1 0.1\n15.9 0.2\n", "angle of the monochromator in degrees"),
        (b"1 2 3 4\n", "which of the 4 columns"),
        (b"# a b c\n7112 2 3\n", "which of the 3 columns (.*a, b, c"),
        (b"7112|0.1\n7113|0.2\n", "no line of numbers"),
    ],
)
def test_what_is_not_a_table_is_refused_with_the_reason(content, says):
    with pytest.raises(Refused, match=says.replace("(.*", r"\(.*")):
        read_columns(content)


@pytest.mark.parametrize(
    ("choice", "says"),
    [({"energy": "9"}, "no column '9'"), ({"enrgy": "1"}, "no role 'enrgy'"), ({"it": "2"}, "i0")],
)
def test_a_wrong_choice_is_told(choice, says):
    with pytest.raises(Refused, match=says):
        read_columns(b"# energy mu\n7112 1\n", choice)


@pytest.mark.slow
def test_a_million_rows_are_read():
    rows = np.column_stack([np.linspace(7000, 7200, 1_000_000), np.ones(1_000_000)])
    content = "\n".join(f"{e:.4f} {m}" for e, m in rows).encode()
    assert read_columns(content)[0].energy.size == 1_000_000


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content):
    for reader in (read_columns, read_athena):
        with contextlib.suppress(Refused):
            assert reader(content)


@given(
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=4),
        max_size=6,
    ),
    st.sampled_from([" ", ",", "\t", ";"]),
)
def test_any_columns_are_read_or_refused(rows, delimiter):
    text = "\n".join(delimiter.join(map(str, row)) for row in rows)
    with contextlib.suppress(Refused):
        found = read_columns(text.encode())[0].energy.size
        assert found == len(rows) or len({len(row) for row in rows}) > 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), head=st.sampled_from([b"", b"# XDI/1.0\n", b"\x1f\x8b"]))
@example(content=b"\x1f", head=b"")  # a line of white space that no strip(" ") takes
def test_no_file_escapes_as_a_traceback(tmp_path, content, head):
    path = tmp_path / "file"
    path.write_bytes(head + content)
    with contextlib.suppress(Refused):
        assert read_file(path)


def test_an_xdi_file_with_names_of_its_own_is_read_as_columns(tmp_path):
    path = tmp_path / "x.xdi"
    path.write_text("# XDI/1.0\n# Element.symbol: Fe\n# ///\n# e foo\n7112 0.1\n7113 0.2\n")
    (found,) = read_file(path)
    assert found.mu.tolist() == [0.1, 0.2]
    assert found.notes
