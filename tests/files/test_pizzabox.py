"""Pizza-box files: bytes to arrays, and only files that may be read."""

import os
from urllib.parse import quote

import h5py
import numpy as np
import pytest

from rankaae_stream.errors import Refused
from rankaae_stream.files.frames import is_hdf5, read_frames
from rankaae_stream.files.pizzabox import (
    TICK,
    is_whole,
    read_apb,
    read_encoder,
    read_pulses,
)
from rankaae_stream.files.resolve import path_of_uri, read_sized, resolve


def apb(seconds, ticks):
    table = np.zeros((len(seconds), 10), dtype="<i4")
    table[:, :8] = np.arange(8) * 1000 - 500
    table[:, 8], table[:, 9] = seconds, ticks
    return table.tobytes()


def test_the_electrometers_rows_end_at_the_first_step_back_in_time():
    read = read_apb(apb([1700000000, 1700000000, 1700000001, 0, 0], [0, 62460004, 5, 0, 0]))
    assert read.time == pytest.approx(
        [1700000000, 1700000000 + 62460004 * TICK, 1700000001 + 5 * TICK], abs=1e-6
    )
    assert read.microvolt.shape == (3, 8)
    assert list(read.microvolt[0]) == [-500, 500, 1500, 2500, 3500, 4500, 5500, 6500]


def test_a_row_that_is_not_whole_is_left_out():
    content = apb([1, 2, 3], [0, 0, 0])[:-7]
    assert not is_whole("apb", content)
    assert read_apb(content).time.size == 2


@pytest.mark.parametrize("content", [b"", b"\0" * 39, apb([0, 0], [0, 0])])
def test_an_electrometer_file_without_rows_is_refused(content):
    with pytest.raises(Refused, match="no row"):
        read_apb(content)


def test_encoder_words_of_either_sign_are_the_same_position():
    words = [-6057000, 6057000 ^ 0xFFFFFE]
    lines = "".join(f"170000000{i} 500000000 {word} {i} 00\n" for i, word in enumerate(words))
    read = read_encoder(lines.encode())
    assert list(read.counts) == [-6057000, -6057000]
    assert read.time == pytest.approx([1700000000.5, 1700000001.5])


def test_unused_slots_and_a_broken_last_line_of_the_encoder_are_left_out():
    content = b"0 0 5 0 00\n1 0 -5 0 00\n2 0 -6 1 00\n3 0 -"
    assert not is_whole("encoder", content)
    assert list(read_encoder(content).counts) == [-5, -6]


@pytest.mark.parametrize("content", [b"", b"1 0 -5 0 00\n", b"not numbers at all\n", b"\xff\xfe\n"])
def test_an_encoder_file_without_positions_is_refused(content):
    with pytest.raises(Refused) as caught:
        read_encoder(content)
    assert caught.value.name == "file"


def test_only_whole_pulses_count():
    table = np.array(
        [[0, 5, 0], [1, 6, 0], [0, 6, 100], [1, 7, 0], [1, 8, 0], [0, 9, 0], [1, 10, 0], [0, 0, 0]],
        dtype="<i4",
    )
    read = read_pulses(table.tobytes())
    assert list(read.rise) == [6, 8]
    assert read.fall == pytest.approx([6 + 100 * TICK, 9])
    assert read_pulses(b"").rise.size == 0


def test_frames_are_one_number_each(tmp_path):
    path = tmp_path / "xs.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = np.arange(5, dtype="u4")
        file["image"] = np.zeros((5, 3, 3))
    assert list(read_frames(path, "a/b")) == [0, 1, 2, 3, 4]
    with pytest.raises(Refused, match="one number for each frame"):
        read_frames(path, "image")
    with pytest.raises(Refused, match="no dataset"):
        read_frames(path, "a/c")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(path.read_bytes()[:-600])
    assert is_hdf5(path)
    assert not is_hdf5(cut)
    with pytest.raises(Refused, match="HDF5"):
        read_frames(cut, "a/b")


def test_a_dataset_that_lies_in_another_file_is_refused(tmp_path):
    outside, path = tmp_path / "outside.h5", tmp_path / "xs.h5"
    with h5py.File(outside, "w") as file:
        file["counts"] = np.arange(5.0)
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink(str(outside), "counts")
        layout = h5py.VirtualLayout(shape=(5,), dtype=float)
        layout[:] = h5py.VirtualSource(str(outside), "counts", shape=(5,))
        file.create_virtual_dataset("virtual", layout)
    for name in ("linked", "virtual"):
        with pytest.raises(Refused) as caught:
            read_frames(path, name)
        assert caught.value.name == "outside_roots"


def test_a_path_with_the_root_repeated_and_one_without_lead_to_the_same_file(tmp_path):
    roots = [tmp_path]
    absolute = resolve("/nsls2", "/nsls2/raw/a.bin", {"/nsls2": str(tmp_path)}, roots)
    relative = resolve("/nsls2", "raw/a.bin", {"/nsls2": str(tmp_path)}, roots)
    assert absolute == relative == tmp_path.resolve() / "raw/a.bin"


def test_the_longest_root_that_fits_is_taken(tmp_path):
    root_map = {"/nsls2": "/elsewhere", "/nsls2/iss": str(tmp_path)}
    assert resolve("", "/nsls2/iss/a", root_map, [tmp_path]) == tmp_path.resolve() / "a"
    with pytest.raises(Refused):
        resolve("", "/nsls2/issue/a", root_map, [tmp_path])


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../secret", "link/secret", "x\0"]
)
def test_what_leaves_the_allowed_roots_is_refused_with_links_followed(tmp_path, path):
    allowed = tmp_path / "data"
    allowed.mkdir()
    (tmp_path / "secret").write_text("x")
    os.symlink(tmp_path, allowed / "link")
    with pytest.raises(Refused) as caught:
        resolve(str(allowed), path, {}, [allowed])
    assert caught.value.name == "outside_roots"


def test_an_address_is_a_files_or_nothing():
    assert path_of_uri("file://localhost/data/a%20b.bin") == "/data/a b.bin"
    for name in ("FeO #3.h5", "is it FeO?.h5", "a;b.h5", "50%FeO.h5", "100% FeO.h5"):
        assert path_of_uri(f"file://localhost/data/{name}") == f"/data/{name}"
        assert path_of_uri(f"file://localhost/data/{quote(name)}") == f"/data/{name}"
    with pytest.raises(Refused):
        path_of_uri("http://somewhere/a.bin")


def test_size_is_looked_at_before_a_file_is_read(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(10**12)  # a sparse file: reading it would not end
    with pytest.raises(Refused, match="MiB"):
        read_sized(path)
    with pytest.raises(Refused, match="cannot be read"):
        read_sized(tmp_path / "absent")
