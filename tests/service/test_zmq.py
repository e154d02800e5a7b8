"""Bluesky's 0MQ proxy, in a process of its own, brings documents; pickles only where allowed."""

import contextlib
import json
import pickle
import subprocess
import sys
from contextlib import closing, contextmanager

import msgpack_numpy
import pytest
import zmq
from bluesky.callbacks.zmq import Publisher
from taking import Kept, answers, running, same, session
from waiting import PATIENCE, wait_until
from zmq.auth import create_certificates

from rankaae_stream.commands.serve import Bus, open_bus
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.past.packed import pack
from rankaae_stream.profile import load_profile
from rankaae_stream.service import zmq as module
from rankaae_stream.service.journal import Journal
from rankaae_stream.service.zmq import ZmqBus

pytestmark = pytest.mark.services

PROBE = ("start", {"uid": "probe"})
STOP = ("stop", {"uid": "b", "run_start": "a"})
PROXY = """
import sys
from bluesky.callbacks.zmq import Proxy
proxy = Proxy(*sys.argv[1:])
print(proxy.in_port, proxy.out_port, flush=True)
proxy.start()
"""


@contextmanager
def proxy(*arguments, program=PROXY):
    """Bluesky's proxy: where sessions publish, where we subscribe, and its process."""
    command = [sys.executable, "-c", program, *(arguments or ["127.0.0.1"] * 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield (*process.stdout.readline().split(), process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def addresses():
    with proxy() as (*both, _):
        yield both


@pytest.fixture
def publisher(addresses):
    """Publish as a session does that was told to use msgpack."""
    made = []

    def make(serializer=msgpack_numpy.dumps, **settings):
        made.append(Publisher(addresses[0], serializer=serializer, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def join(publish, taker):
    """Wait until what is published arrives: until then 0MQ drops it."""

    def arrives():
        publish(*PROBE)
        return PROBE in taker.kept

    wait_until(arrives, "0MQ has joined")
    publish(*STOP)
    wait_until(taker.ended, "the probes are through")
    taker.kept.clear()


@pytest.mark.slow
@pytest.mark.parametrize("serializer", [msgpack_numpy.dumps, pack])
def test_a_session_by_blueskys_publisher_is_answered_as_in_process(
    addresses, publisher, serializer, open_pipeline
):
    played, taker, publish = session("FeO", "Fe2O3"), Kept(), publisher(serializer)
    source = ZmqBus(addresses[1])
    with running(source, taker):
        join(publish, taker)
        for document in played:
            publish(*document)
        wait_until(lambda: taker.ended() == 2, "two runs")
        assert source.failing() == ""
        assert source.lag() is None
    same(played, taker.kept)
    assert answers(open_pipeline, taker.kept) == answers(open_pipeline, played)


def test_json_is_read_too(addresses, publisher):
    taker = Kept()
    publish = publisher(lambda doc: json.dumps(doc).encode())
    with running(ZmqBus(addresses[1]), taker):
        join(publish, taker)
        publish(*STOP)
        wait_until(taker.ended, "a document")
    assert taker.kept == [STOP]


class Runs:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return print, ("a pickle ran",)


def test_a_pickle_is_counted_and_does_not_run(addresses, publisher, capsys):
    taker, source = Kept(), ZmqBus(addresses[1])
    # Made at once: a publisher copies each document, which runs it, too.
    sent = pickle.dumps({"uid": "a", "x": Runs()})
    pickled, publish = publisher(lambda _: sent), publisher()
    with running(source, taker):
        join(publish, taker)

        def counted():
            pickled("start", {})
            return source.refused["pickle"]

        wait_until(counted, "the pickles are counted")
    assert taker.kept == []
    assert "ran" not in capsys.readouterr().out


def test_pickles_of_this_machine_are_read_where_that_is_allowed(addresses, publisher):
    """Bluesky's default; what no message could hold is refused all the same."""
    played, taker = session("FeO"), Kept()
    publish, source = publisher(pickle.dumps), ZmqBus(addresses[1], allow_pickle=True)
    with running(source, taker):
        join(publish, taker)
        publish("start", {"uid": "a", "x": {1, 2}})
        publish("begin", {})
        for document in played:
            publish(*document)
        wait_until(taker.ended, "a run")
    same(played, taker.kept)
    assert source.refused == {"format": 1, "name": 1}


def test_pickles_of_another_machine_are_never_allowed():
    with pytest.raises(ConfigurationError, match="this machine only"):
        ZmqBus("10.0.0.1:5578", allow_pickle=True)
    with pytest.raises(ConfigurationError, match="this machine only"):
        ZmqBus("localhost.example.org:5578", allow_pickle=True)
    for local in ("localhost:5578", "127.0.0.2:5578", "tcp://[::1]:5578", "ipc:///run/bluesky"):
        ZmqBus(local, allow_pickle=True)


def test_documents_of_another_publisher_are_left_out(addresses, publisher):
    taker = Kept()
    ours, others = publisher(prefix=b"iss"), publisher(prefix=b"iss2")
    with running(ZmqBus(addresses[1], prefix="iss"), taker):
        join(ours, taker)
        for _ in range(20):
            others("stop", {"uid": "other"})
        ours(*STOP)
        wait_until(taker.ended, "ours")
    assert taker.kept == [STOP]


@pytest.fixture
def peer():
    """A socket that sends whatever it is told, and the bus's address for it."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    # It says that it is full, instead of dropping what it sends, and soon.
    socket.setsockopt(zmq.SNDHWM, 2)
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.setsockopt(zmq.SNDTIMEO, 2000)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    socket.setsockopt(zmq.LINGER, 0)
    yield socket, f"127.0.0.1:{port}"
    context.destroy(linger=0)


def joined(socket):
    """Wait for a subscription, after which nothing is dropped."""
    assert socket.poll(PATIENCE * 1000)
    assert socket.recv() == b"\x01"


def test_what_is_no_document_is_counted_and_passed_over(peer):
    socket, address = peer
    source, taker = ZmqBus(address), Kept()
    with running(source, taker):
        joined(socket)
        for message in (b"", b"stop", b" stop \x92", b" stop [1]", b" \xff {}", b"  {}"):
            socket.send(message)
        socket.send(b" stop " + pack(STOP[1]))
        wait_until(taker.ended, "the document after them")
    assert taker.kept == [STOP]
    assert source.refused == {"format": 4, "name": 2}


def test_too_long_a_message_ends_the_connection_which_is_made_again(peer, monkeypatch):
    monkeypatch.setattr(module, "AWAY", 0.5)
    socket, address = peer
    taker = Kept()
    with running(ZmqBus(address, most=1000), taker):
        joined(socket)
        socket.send(b" stop " + b"x" * 5000)
        assert socket.recv() == b"\x00"  # it has gone
        joined(socket)
        socket.send(b" stop " + pack(STOP[1]))
        wait_until(taker.ended, "the next document")


def test_a_full_taker_lets_messages_wait(peer):
    socket, address = peer
    taker = Kept()
    taker.is_full = True
    with running(ZmqBus(address), taker):
        joined(socket)
        for _ in range(200):
            socket.send(b" stop " + pack(STOP[1]))
        taker.is_full = False
        wait_until(lambda: taker.ended() == 200, "all of them")


def test_what_waits_here_is_bounded_by_its_bytes(peer, monkeypatch):
    """100 messages of 1 MB each would be within 0MQ's own count of them."""
    monkeypatch.setattr(module, "WAITING", 4 << 20)
    socket, address = peer
    taker, sent = Kept(), 0
    taker.is_full = True
    with running(ZmqBus(address), taker):
        joined(socket)
        with contextlib.suppress(zmq.Again):  # nothing more is taken over for two seconds
            while sent < 300:
                socket.send(b" stop " + pack(STOP[1] | {"x": "x" * (1 << 20)}))
                sent += 1
        assert 4 <= sent < 100
        taker.is_full = False
        wait_until(lambda: taker.ended() == sent, "all of them")


def test_no_more_is_taken_at_once_than_there_is_room_for(peer, monkeypatch):
    socket, address = peer
    source, taker = ZmqBus(address), Kept()
    most = [3]
    monkeypatch.setattr(taker, "full", lambda: len(taker.taken + taker.kept) >= most[0])
    with running(source, taker):
        joined(socket)
        for _ in range(50):
            socket.send(b" stop " + pack(STOP[1]))
        wait_until(lambda: taker.ended() == 3, "those for which there is room")
        most[0] = 50
        wait_until(lambda: taker.ended() == 50, "the rest")
    assert taker.flushes >= 2


def test_a_document_that_cannot_be_kept_is_counted_and_the_next_one_is_taken(peer, tmp_path):
    socket, address = peer
    source, taker = ZmqBus(address), Kept()
    journal = Journal(tmp_path)
    take = taker.take
    taker.take = lambda name, doc: (journal.add(name, doc), take(name, doc))
    with running(source, taker), closing(journal):
        joined(socket)
        socket.send(b' start {"uid": "\\ud800"}')
        socket.send(b' start {"uid": "a", "scan_id": ' + b"9" * 300 + b"}")
        socket.send(b" stop " + pack(STOP[1]))
        wait_until(taker.ended, "the next one")
    assert taker.kept == [STOP]
    assert source.refused == {"format": 2}


def test_a_disk_that_has_room_again_keeps_what_was_taken(peer):
    socket, address = peer
    source, taker = ZmqBus(address), Kept()
    taker.broken = OSError(28, "No space left on device")
    with running(source, taker):
        joined(socket)
        socket.send(b" stop " + pack(STOP[1]))
        wait_until(lambda: "No space" in source.failing(), "it says why")
        taker.broken = None
        wait_until(taker.ended, "it is kept")
        wait_until(lambda: source.failing() == "", "nothing fails any more")


def test_a_proxy_that_is_killed_is_named_and_joined_again():
    with proxy() as (inside, outside, process):
        source, taker = ZmqBus(outside), Kept()
        assert "not answered" in source.failing()
        with running(source, taker):
            first = Publisher(inside, serializer=msgpack_numpy.dumps)
            join(first, taker)
            first.close()
            process.kill()
            wait_until(lambda: "is away" in source.failing(), "it is missed")
            with proxy(inside, outside):
                second = Publisher(inside, serializer=msgpack_numpy.dumps)
                join(second, taker)
                assert source.failing() == ""
                second.close()


CURVE_PROXY = """
import sys
from pathlib import Path
from bluesky.callbacks.zmq import Proxy, ServerCurve
secret, clients = map(Path, sys.argv[1:])
curve = ServerCurve(secret, clients, {"127.0.0.1"})
# One side only: bluesky's proxy cannot start with certificates for both.
proxy = Proxy("127.0.0.1", "127.0.0.1", out_curve=curve)
print(proxy.in_port, proxy.out_port, flush=True)
proxy.start()
"""


def test_a_proxy_with_certificates_lets_us_in_by_ours_and_nobody_else(tmp_path):
    known = tmp_path / "clients"
    known.mkdir()
    for name in ("server", "ours", "stranger"):
        create_certificates(tmp_path, name)
    (tmp_path / "ours.key").rename(known / "ours.key")
    server = tmp_path / "server.key"

    def bus(address, *curve):
        return open_bus(Bus("zmq", address, curve=curve or None), load_profile("generic"))

    with proxy(tmp_path / "server.key_secret", known, program=CURVE_PROXY) as (at, address, _):
        publish = Publisher(at, serializer=msgpack_numpy.dumps)
        taker, without = Kept(), bus(address)
        strange = bus(address, tmp_path / "stranger.key_secret", server)
        with running(bus(address, tmp_path / "ours.key_secret", server), taker):
            join(publish, taker)
        with running(without, Kept()), running(strange, Kept()):
            wait_until(lambda: "certificates" in strange.failing(), "a stranger is told why")
            wait_until(lambda: "certificates" in without.failing(), "so is who has none")
        publish.close()


def test_a_wrong_setting_ends_the_program_at_its_start(tmp_path):
    for wrong in ("", "host", "host:none", "http://host:1", "tcp://host:1/x", "host:99999"):
        with pytest.raises(ConfigurationError, match="write host:port"):
            ZmqBus(wrong)
    with pytest.raises(ConfigurationError, match="password"):
        ZmqBus("tcp://me:word@host:5578")
    with pytest.raises(ConfigurationError, match="space"):
        ZmqBus("host:5578", prefix="a b")
    public, secret = create_certificates(tmp_path, "a")
    for own, server in ((tmp_path / "none", public), (public, public), (secret, tmp_path)):
        with pytest.raises(ConfigurationError, match="certificates"):
            ZmqBus("host:5578", curve=(own, server))
