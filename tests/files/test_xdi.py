"""XDI files: the standard, old dialects, and files that are something else."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankaae_stream import resources
from rankaae_stream.errors import Refused
from rankaae_stream.files.columns import text_tables
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.spectrum import K_EDGES

SHIPPED = sorted(resources.folder("profiles/spectra").rglob("*.xdi"))


@pytest.fixture
def xdi(tmp_path):
    def write(text):
        path = tmp_path / "x.xdi"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_spectrum(path)

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_spectrum_crosses_its_edge_upwards(path):
    spectrum = read_spectrum(path)
    e0 = K_EDGES[spectrum.element]
    energy, mu = spectrum.energy, spectrum.mu
    assert np.all(np.diff(energy) > 0)
    assert energy[0] < e0 - 60
    assert energy[-1] > e0 + 150
    below = mu[(energy > e0 - 60) & (energy < e0 - 20)].mean()
    above = mu[(energy > e0 + 20) & (energy < e0 + 60)].mean()
    assert above > below


def test_columns_are_named_by_the_header(xdi):
    head = "# XDI/1.0\n# Column.1: energy eV\n# Column.2: i0\n# Column.3: itrans\n"
    found = xdi(f"{head}1 2 1\n2 4 1\n")
    np.testing.assert_allclose(found.mu, np.log([2.0, 4.0]))
    assert found.reference is None


def test_old_dialects_document_columns_with_their_pv():
    head = b"#XDI/1.1 Epics\n# Column.1: energy eV || 13BMA:E:Energy.VAL\n# Column.2: mutrans\n"
    (found,) = text_tables(head + b"1 2\n")
    assert found.names == ("energy", "mutrans")
    assert found.units == ("ev", "")
    assert found.facts["column.1"] == "energy eV"


def test_the_last_header_line_names_what_the_fields_do_not(xdi):
    found = xdi("# XDI/1.0\n# ///\n#----\n# energy xmu\n1.0 2.0\n2.0 3.0\n")
    assert found.mu.tolist() == [2.0, 3.0]


def test_the_reference_and_fluorescence_are_formed_from_currents(xdi):
    head = "# XDI/1.0\n" + "".join(
        f"# Column.{i + 1}: {name}\n" for i, name in enumerate(("energy", "i0", "ifluor", "x"))
    )
    np.testing.assert_allclose(xdi(f"{head}1 2 1 9\n2 2 3 9\n").mu, [0.5, 1.5])
    head = head.replace("ifluor", "itrans").replace(": x", ": irefer")
    np.testing.assert_allclose(xdi(f"{head}1 4 2 1\n").reference, np.log([2.0]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("# XDI/1.0\n", "no line of numbers"),
        ("<html><body>404</body></html>", "web page"),
        ("# Column.1: energy\n1 2\n3\n4 5\n", "the lines before line 4 are no rows of the table"),
        (b"\x00\xff\xfe\x80", "is binary"),
    ],
)
def test_a_file_that_is_something_else_is_refused(xdi, text, says):
    with pytest.raises(Refused, match=says):
        xdi(text)


def test_what_is_missing_is_named(xdi):
    with pytest.raises(Refused, match=r"which of the 3 columns .a, b, c. is the absorption"):
        xdi("# XDI/1.0\n# Column.1: a\n# ///\n# a b c\n1 2 3\n")
    with pytest.raises(Refused, match=r"which of the 3 columns .energy, b, c. is the absorption"):
        xdi("# XDI/1.0\n# Column.1: energy\n# Column.2: b\n# Column.3: c\n1 2 3\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(xdi, content):
    with contextlib.suppress(Refused):
        assert xdi(content).energy.size
