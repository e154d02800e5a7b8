"""What the embedded server does not serve: files outside its folders, pages of other sites."""

import json
import os
import socket
import stat
import uuid
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
from bluesky_tiled_plugins import TiledWriter
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Asset, DataSource, Management
from waiting import PATIENCE
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.server.tiled_server import EmbeddedServer

NUMBERS = np.arange(5.0)
SECRET = NUMBERS + 1000.0


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder to serve, `data`, with every way out of it into `outside`."""
    base = tmp_path_factory.mktemp("files")
    data, outside = base / "data", base / "outside"
    data.mkdir()
    (outside / "zarr").mkdir(parents=True)
    with h5py.File(outside / "secret.h5", "w") as file:
        file["group/e"] = file["e"] = SECRET
    SECRET.tofile(outside / "secret.bin")
    np.save(outside / "secret.npy", SECRET)
    (outside / "zarr" / "secret").write_bytes(b"secret")
    with h5py.File(data / "good.h5", "w") as file:
        file["entry/e"] = file["e"] = NUMBERS
        file["soft"] = h5py.SoftLink("/entry/e")
        file["out"] = h5py.ExternalLink(str(outside / "secret.h5"), "group")
        file["around"] = h5py.SoftLink("/out/e")
        file.create_dataset("stored", (5,), "f8", external=[(str(outside / "secret.bin"), 0, 40)])
        layout = h5py.VirtualLayout(shape=(5,), dtype="f8")
        layout[:] = h5py.VirtualSource(str(outside / "secret.h5"), "e", shape=(5,))
        file.create_virtual_dataset("virtual", layout)
    np.save(data / "good.npy", NUMBERS)
    (data / "sub").mkdir()
    (data / "inside.h5").symlink_to(data / "good.h5")
    (data / "link.h5").symlink_to(outside / "secret.h5")
    (data / "link.npy").symlink_to(outside / "secret.npy")
    (data / "folder").symlink_to(outside)
    (data / "loop.h5").symlink_to(data / "loop.h5")
    return base


@pytest.fixture(scope="module")
def server(folders):
    with EmbeddedServer(
        folders / "tiled", readable=[folders / "data"], names=["tiled.example"]
    ) as running:
        yield running


def written(server: EmbeddedServer, path: str, dataset: str = "e") -> str:
    """Where the data are of a run that names a file, as a fly scan's documents do."""
    run, stream, resource = (str(uuid.uuid4()) for _ in range(3))
    key = {"source": "s", "dtype": "array", "shape": [1], "dtype_numpy": "<f8"}
    writer = TiledWriter(server.client("raw"), batch_size=1)
    writer("start", {"uid": run, "time": 1.0})
    writer(
        "descriptor",
        {
            "uid": stream,
            "run_start": run,
            "time": 1.0,
            "name": "primary",
            "data_keys": {"e": {**key, "external": "STREAM:"}},
            "configuration": {},
            "hints": {},
            "object_keys": {},
        },
    )
    writer(
        "stream_resource",
        {
            "uid": resource,
            "run_start": run,
            "data_key": "e",
            "mimetype": "application/x-hdf5",
            "uri": f"file://localhost{path}",
            "parameters": {"dataset": dataset, "chunk_shape": [5]},
        },
    )
    writer(
        "stream_datum",
        {
            "uid": f"{resource}/0",
            "stream_resource": resource,
            "descriptor": stream,
            "indices": {"start": 0, "stop": 5},
            "seq_nums": {"start": 1, "stop": 6},
        },
    )
    end = {"exit_status": "success", "reason": "", "num_events": {"primary": 5}}
    writer("stop", {"uid": str(uuid.uuid4()), "run_start": run, "time": 2.0, **end})
    return f"array/full/raw/{run}/primary/e"


def read(server: EmbeddedServer, where: str, **headers: str) -> httpx.Response:
    return httpx.get(
        f"{server.uri}/api/v1/{where}",
        params={"format": "application/json"} if "?" not in where else None,
        headers=headers,
        timeout=PATIENCE,
        trust_env=False,
    )


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("data/good.h5", "e"),
        ("data/good.h5", "/entry/e"),
        ("data/good.h5", "entry//./e"),
        ("data/good.h5", "soft"),
        ("data/sub/../good.h5", "e"),
        ("data/inside.h5", "e"),
    ],
)
def test_a_file_inside_is_served(server, folders, name, dataset):
    answer = read(server, written(server, f"{folders}/{name}", dataset))
    assert (answer.status_code, answer.text) == (200, "[0.0,1.0,2.0,3.0,4.0]")


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("outside/secret.h5", "e"),
        ("data/../outside/secret.h5", "e"),
        ("data/%2e%2e/outside/secret.h5", "e"),
        ("data/sub/../../outside/secret.h5", "e"),
        ("data/link.h5", "e"),
        ("data/folder/secret.h5", "e"),
        ("data/loop.h5", "e"),
        ("data/good.h5", "out/e"),
        ("data/good.h5", "/out//e"),
        ("data/good.h5", "./out/./e"),
        ("data/good.h5", "around"),
        ("data/good.h5", "stored"),
        ("data/good.h5", "virtual"),
        ("data2/secret.h5", "e"),
    ],
)
def test_what_lies_outside_is_not_served(server, folders, name, dataset):
    answer = read(server, written(server, f"{folders}/{name}", dataset))
    assert answer.status_code in (403, 404, 500)
    assert "100" not in answer.text
    assert "outside" not in answer.text, "nor is it told where it would be"


def test_a_file_that_is_replaced_by_a_link_later_is_not_served(server, folders):
    path = folders / "data" / "moved.h5"
    path.write_bytes((folders / "data" / "good.h5").read_bytes())
    where = written(server, str(path))
    assert read(server, where).status_code == 200
    path.unlink()
    path.symlink_to(folders / "outside" / "secret.h5")
    assert read(server, where).status_code == 403


def registered(server: EmbeddedServer, path: str, mimetype: str, family: str, **options) -> str:
    """The path of a node that somebody with the key has registered for a file of any kind."""
    name = str(uuid.uuid4())
    asset = Asset(
        data_uri=f"file://localhost{path}",
        is_directory=options.pop("is_directory", False),
        parameter=options.pop("parameter", "data_uris"),
        num=options.pop("num", 0),
    )
    source = DataSource(
        structure_family=family,
        structure=options.pop("structure", None),
        mimetype=mimetype,
        parameters=options,
        management=Management.external,
        assets=[asset],
    )
    server.client("raw").new(
        key=name, structure_family=StructureFamily(family), data_sources=[source], metadata={}
    )
    return name


@pytest.mark.parametrize("parameter", ["data_uri", None])
@pytest.mark.parametrize("name", ["data/good.npy", "data/link.npy", "data/../outside/secret.npy"])
def test_a_file_of_another_format_is_looked_at_too(server, folders, name, parameter):
    from tiled.structures.array import ArrayStructure

    structure = ArrayStructure.from_array(NUMBERS)
    node = registered(
        server,
        f"{folders}/{name}",
        "application/x-npy",
        "array",
        structure=structure,
        parameter=parameter,
        num=None,
    )
    answer = read(server, f"array/full/raw/{node}")
    assert (answer.status_code == 200) is ("good" in name), answer.text
    assert "100" not in answer.text


def test_of_a_whole_file_what_lies_in_it_is_served_and_its_links_outward_are_broken(
    server, folders
):
    node = registered(server, f"{folders}/data/good.h5", "application/x-hdf5", "container")
    for inside in ("e", "entry/e", "soft"):
        assert read(server, f"array/full/raw/{node}/{inside}").status_code == 200
    for outside in ("out/e", "around", "stored", "virtual"):
        answer = read(server, f"array/full/raw/{node}/{outside}")
        assert answer.status_code != 200
        assert "100" not in answer.text
    assert "secret" not in read(server, f"container/full/raw/{node}").text


def test_no_file_is_sent_as_it_is_on_the_disk(server, folders):
    written(server, f"{folders}/outside/secret.h5")
    for number in range(1, 5):
        for run in list(server.client("raw"))[-3:]:
            where = f"asset/bytes/raw/{run}/primary/e?id={number}"
            assert read(server, where).status_code in (403, 404, 405)
            relative = f"{where}&relative_path=../../../../../../etc/passwd"
            assert read(server, relative).status_code in (403, 404, 405)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_sites_page_reads_nothing(server, headers):
    answer = read(server, "search/raw", **headers)
    assert answer.status_code == 403
    assert "--allow-host NAME" in answer.json()["detail"]


def stream(server: EmbeddedServer, **options):
    address = f"ws://127.0.0.1:{server.port}/api/v1/stream/single/raw?envelope_format=json"
    return connect(address, proxy=None, **options)


def test_a_stream_is_for_programs_and_its_own_pages(server):
    for options in ({}, {"origin": server.uri}, {"origin": "http://tiled.example"}):
        with stream(server, **options) as opened:
            assert json.loads(opened.recv(PATIENCE))["type"] == "container-schema"
    with pytest.raises(InvalidHandshake):
        stream(server, origin="http://evil.example").__enter__()
    with (
        socket.create_connection(("127.0.0.1", server.port)) as rebound,
        pytest.raises(InvalidHandshake),
    ):
        connect(f"ws://evil.example:{server.port}/api/v1/stream/single/raw", sock=rebound)


def test_its_own_names_are_answered(server):
    for name in (f"localhost:{server.port}", f"tiled.example:{server.port}", "tiled.example"):
        assert read(server, "search/raw", Host=name).status_code == 200


def test_without_exactly_one_host_nothing_is_answered(server):
    for lines in ("", "Host: 127.0.0.1:{0}\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
            request = f"GET /api/v1/ HTTP/1.0\r\n{lines.format(server.port)}\r\n"
            plain.sendall(request.encode())
            assert plain.recv(200).split()[1] in (b"403", b"400")


def test_a_name_that_is_none_is_told():
    with pytest.raises(ConfigurationError, match="NAME or NAME:PORT, without http://"):
        EmbeddedServer(names=["http://tiled.example"])


def modes(folder: Path) -> set[int]:
    """The permissions of a folder and all that is in it."""
    found = [folder, *folder.rglob("*")]
    return {stat.S_IMODE(path.lstat().st_mode) for path in found if not path.is_symlink()}


@pytest.mark.services
def test_nobody_else_reads_what_it_writes_or_wrote_before(tmp_path):
    before = os.umask(0)
    try:
        directory = tmp_path / "deep" / "tiled"
        with EmbeddedServer(directory) as server:
            client = server.client("processed").create_container("run")
            client.write_array(NUMBERS)
            client.write_table({"x": NUMBERS}, key="table")
            assert modes(tmp_path / "deep") == {0o700, 0o600}
        (directory / "raw" / "catalog.db").chmod(0o644)
        (directory / "raw").chmod(0o755)
        with EmbeddedServer(directory):
            assert modes(directory) == {0o700, 0o600}
        directory.chmod(0o777)
        with pytest.raises(ConfigurationError, match=f"fix: chmod go-w {directory}"):
            EmbeddedServer(directory).start()
    finally:
        os.umask(before)
