"""HDF5 files of Diamond, of the ESRF's bliss, in NXxas, and files that are something else."""

import contextlib
import random

import h5py
import numpy as np
import pytest

from rankaae_stream.errors import Refused
from rankaae_stream.files import nexus
from rankaae_stream.files.read import read_file

ENERGY = np.linspace(7000.0, 7300.0, 61)
I0, IT, IR = np.full(61, 8.0), np.linspace(4.0, 2.0, 61), np.linspace(2.0, 1.0, 61)


def bliss(file, scan="1.1", title="fscan energy", points=61):
    entry = file.create_group(scan)
    entry.attrs["NX_class"] = "NXentry"
    entry["title"] = title
    measurement = entry.create_group("measurement")
    for name, values in (("energy_enc", ENERGY / 1000), ("I0", I0), ("I1", IT), ("I2", IR)):
        data = entry.create_group(f"instrument/{name}").create_dataset("data", data=values[:points])
        if name == "energy_enc":
            data.attrs["units"] = "keV"
        measurement[name] = h5py.SoftLink(f"/{scan}/instrument/{name}/data")
    measurement["mca"] = np.zeros((61, 8))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def test_scans_of_bliss_are_read_by_their_measurement_group(path):
    with h5py.File(path, "w") as file:
        bliss(file, "1.1")
        bliss(file, "2.1", points=40)
        file.create_group("3.1/measurement")["samx"] = np.arange(20.0)
    one, two = read_file(path)
    assert (one.label, two.label, two.energy.size) == ("1.1", "2.1", 40)
    np.testing.assert_allclose(one.energy, ENERGY)
    np.testing.assert_allclose(one.mu, np.log(I0 / IT))
    np.testing.assert_allclose(one.reference, np.log(IT / IR))
    assert "energies of 7-7.3 were read as keV" in one.notes


def test_a_counter_that_lacks_the_last_point_of_an_aborted_scan_is_cut_with_the_rest(path):
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/measurement")
        for name, values in (("energy", ENERGY), ("I0", I0[:-1]), ("It", IT)):
            group[name] = values
    (found,) = read_file(path)
    assert found.energy.size == found.mu.size == 60


def test_diamonds_columns_are_read_wherever_they_lie_in_the_entry(path):
    with h5py.File(path, "w") as file:
        group = file.create_group("entry1/counterTimer01")
        for name, values in (("qexafs_energy", ENERGY), ("I0", I0), ("It", IT), ("Iref", IR)):
            group[name] = values
    (found,) = read_file(path)
    assert found.columns == ("I0", "It")
    np.testing.assert_allclose(found.reference, np.log(IT / IR))


@pytest.mark.parametrize(
    ("mode", "channel"), [("Transmission", "transmission"), ("Fluorescence", "fluorescence")]
)
def test_nxxas_says_by_its_mode_what_the_absorbed_beam_is(path, mode, channel):
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["mode"], entry["element"], entry["edge"] = mode, "Fe", "K"
        entry["instrument/monochromator/energy"] = ENERGY
        entry["monitor/data"] = I0
        entry["instrument/absorbed_beam/data"] = IT
        entry["data/energy"] = entry["instrument/monochromator/energy"]
        entry["data/absorbed_beam"] = entry["instrument/absorbed_beam/data"]
    (found,) = read_file(path)
    assert (found.channel, found.element, found.shell) == (channel, "Fe", "K")
    expected = np.log(I0 / IT) if channel == "transmission" else IT / I0
    np.testing.assert_allclose(found.mu, expected)


def test_columns_are_chosen_by_name_or_path(path):
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["a/dcm"], entry["b/left"], entry["b/right"] = ENERGY, I0, IT
        entry["a/energy"] = ENERGY + 5.0
    (found,) = read_file(path, {"energy": "a/dcm", "i0": "left", "it": "right"})
    np.testing.assert_allclose(found.energy, ENERGY)
    np.testing.assert_allclose(found.mu, np.log(I0 / IT))


def test_a_herfd_title_is_said(path):
    with h5py.File(path, "w") as file:
        bliss(file, title="HERFD fscan")
    assert read_file(path)[0].kind == "herfd"


def test_nothing_is_read_out_of_another_file(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = IT
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["energy"], entry["I0"] = ENERGY, I0
        entry["It"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "secret")
        file["away"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
        entry["It_soft"] = h5py.SoftLink("/away/secret")
        entry["It_loop"] = h5py.SoftLink("/entry/It_loop")
        layout = h5py.VirtualLayout(shape=(61,), dtype=float)
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "secret", shape=(61,))
        entry.create_virtual_dataset("It_virtual", layout)
    with pytest.raises(Refused, match="no column 'it' for it; 2 columns: I0, energy"):
        read_file(path, {"energy": "energy", "i0": "I0", "it": "It"})


def test_a_file_of_images_holds_no_scan(path):
    with h5py.File(path, "w") as file:
        file["entry/data"] = np.zeros((50, 4, 4))
    with pytest.raises(Refused, match="holds no scan over energies: none of its 1 entries"):
        read_file(path)


def test_a_master_file_says_which_files_hold_its_scans(path):
    with h5py.File(path, "w") as file:
        file["1.1"] = h5py.ExternalLink("scan0001/sample.h5", "/1.1")
    with pytest.raises(Refused, match=r"its scans lie in other files \(scan0001/sample.h5\); name"):
        read_file(path)


def test_numbers_that_take_too_much_memory_are_refused(path):
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["energy"] = ENERGY
        # 61 values are 488 bytes, and 4 GB to be read.
        entry.create_dataset(
            "it", (61,), "f8", maxshape=(None,), chunks=(400_000_000,), compression="gzip"
        )
    with pytest.raises(Refused, match="reading it takes 3052 MiB; limit: 128 MiB"):
        read_file(path)


def test_a_file_that_the_library_never_gets_done_with_is_refused(path, monkeypatch):
    with h5py.File(path, "w") as file:
        bliss(file)
    monkeypatch.setattr(nexus, "SECONDS", 0.01)
    with pytest.raises(Refused, match=r"takes more than 0.01 s; it may be damaged"):
        read_file(path)


@pytest.mark.slow
def test_damaged_files_are_read_or_refused(path, tmp_path):
    with h5py.File(path, "w") as file:
        bliss(file)
    whole, chance = path.read_bytes(), random.Random(1)
    for _ in range(15):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 3, 10))):
            content[int(chance.random() ** 2 * len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice((len(content), len(content) // 2))])
        with contextlib.suppress(Refused):
            assert read_file(path)
