"""Kafka gives every document once it is kept, whatever ends; against librdkafka's own broker."""

import json
import pickle
import socket
import socketserver
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from kafka_broker import broker
from taking import Kept, answers, running, same, session
from waiting import wait_until

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.service import kafka as module
from rankaae_stream.service.decode import encode
from rankaae_stream.service.kafka import KafkaBus
from rankaae_stream.service.kafka_settings import read_settings

pytestmark = pytest.mark.services

QUICK = {
    "topic.metadata.refresh.interval.ms": 500,
    "statistics.interval.ms": 200,
    # Librdkafka's broker does not see that a service leaves; the next one waits for this.
    "session.timeout.ms": 2000,
    "heartbeat.interval.ms": 300,
}
STOP = ("stop", {"uid": "b", "run_start": "a"})


@pytest.fixture(scope="module")
def cluster():
    with broker() as running_broker:
        yield running_broker


@pytest.fixture
def topic(cluster, request):
    """A topic of this test's own."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-60:]
    cluster.make(name)
    return name


@pytest.fixture
def send(cluster):
    """Send messages to a topic, in their order."""
    producer = Producer({"bootstrap.servers": cluster.address, "log_level": 0})

    def sent(topic, *messages):
        for message in messages:
            value = message if isinstance(message, bytes) else encode(*message)
            producer.produce(topic, value, partition=0)
        assert producer.flush(60) == 0

    return sent


@pytest.fixture
def bus(cluster, topic):
    def make(group="xas", **settings):
        settings = {"first": "earliest", "settings": QUICK, **settings}
        return KafkaBus(cluster.address, [topic], f"{topic}-{group}", **settings)

    return make


def stored(cluster, topic, group="xas"):
    """The offset that the broker has of a group."""
    settings = {"bootstrap.servers": cluster.address, "group.id": f"{topic}-{group}"}
    consumer = Consumer({**settings, "log_level": 0})
    try:
        (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=60)
        return place.offset
    finally:
        consumer.close()


PUBLISH = """
import pickle, sys
from bluesky_kafka import Publisher
servers, topic, path = sys.argv[1:]
publisher = Publisher(topic, servers, "key", {"acks": 1}, flush_on_stop_doc=True)
for name, doc in pickle.load(open(path, "rb")):
    publisher(name, doc)
"""


@pytest.mark.slow
def test_a_session_published_by_bluesky_kafka_is_answered_as_in_process(
    cluster, topic, bus, tmp_path, open_pipeline
):
    """In a process of its own, because bluesky-kafka changes msgpack for all of a program."""
    played, taker = session("FeO", "Fe2O3"), Kept()
    (tmp_path / "session").write_bytes(pickle.dumps(played))
    arguments = [sys.executable, "-c", PUBLISH, cluster.address, topic, tmp_path / "session"]
    subprocess.run(arguments, check=True, capture_output=True)
    source = bus()
    with running(source, taker):
        wait_until(lambda: taker.ended() == 2, "two runs from Kafka")
        wait_until(lambda: source.lag() == 0, "the lag is told")
        assert source.failing() == ""
    same(played, taker.kept)
    assert not source.refused
    assert answers(open_pipeline, taker.kept) == answers(open_pipeline, played)


@pytest.mark.slow
def test_a_service_that_starts_again_goes_on_where_it_was(cluster, topic, bus, send):
    first, second = Kept(), Kept()
    send(topic, *(("start", {"uid": str(number)}) for number in range(1200)))
    with running(bus(), first):
        wait_until(lambda: len(first.kept) == 1200, "the first documents")
    assert first.flushes < 100  # of batches, not of documents
    assert stored(cluster, topic) == 1200
    send(topic, STOP)
    with running(bus(), second):
        wait_until(second.ended, "the last document")
    assert second.kept == [STOP]


@pytest.mark.slow
def test_what_was_not_flushed_comes_again(cluster, topic, bus, send):
    """As if the service were killed between taking and keeping."""
    killed, next_one = Kept(), Kept()
    killed.broken = OSError(28, "No space left on device")
    send(topic, ("start", {"uid": "a"}), STOP)
    source = bus()
    with running(source, killed):
        wait_until(lambda: "No space" in source.failing(), "the service says why")
        send(topic, STOP)
        # One or two, as they came together or not; nothing more while these are not kept.
        wait_until(lambda: source.lag() == 3 - len(killed.taken), "the rest waits on the broker")
        assert 1 <= len(killed.taken) <= 2
    assert stored(cluster, topic) < 0
    with running(bus(), next_one):
        wait_until(lambda: next_one.ended() == 2, "all documents, again")
    assert [name for name, _ in next_one.kept] == ["start", "stop", "stop"]


def test_a_disk_that_has_room_again_keeps_what_was_taken(topic, bus, send):
    taker = Kept()
    taker.broken = OSError(28, "No space left on device")
    send(topic, STOP, STOP)
    source = bus()
    with running(source, taker):
        wait_until(source.failing, "the disk is full")
        taker.broken = None
        wait_until(lambda: taker.ended() == 2, "what was taken is kept")
        send(topic, STOP)
        wait_until(lambda: taker.ended() == 3, "the bus goes on")
        assert source.failing() == ""


@pytest.mark.slow
def test_a_full_taker_pauses_the_bus_and_loses_nothing(topic, bus, send):
    taker = Kept()
    send(topic, STOP)
    source = bus()
    with running(source, taker):
        wait_until(taker.ended, "a document")
        taker.is_full = True
        send(topic, *[STOP] * 50)
        wait_until(lambda: source.lag() == 50, "all wait on the broker")
        assert taker.ended() == 1
        taker.is_full = False
        wait_until(lambda: taker.ended() == 51, "all are taken")
    assert source.refused == {}


def test_what_is_no_document_is_counted_and_passed_over(cluster, topic, bus, send, caplog):
    taker = Kept()
    send(
        topic,
        pickle.dumps(STOP),
        b"",
        b"\x92",
        encode("stop", {"x": "y" * 3000}),
        b'["end", {}]',
        STOP,
    )
    source = bus(most=2000)
    with running(source, taker):
        wait_until(taker.ended, "the document after them")
    assert source.refused == {"pickle": 1, "format": 2, "size": 1, "name": 1}
    assert taker.kept == [STOP]
    assert stored(cluster, topic) == 6
    assert "is a pickle" in caplog.text


@pytest.mark.slow
def test_a_new_group_takes_what_comes_from_now_on_and_never_forgets_it(
    cluster, topic, bus, send, tmp_path
):
    send(topic, STOP, STOP)
    source, taker = bus(first="latest", folder=tmp_path), Kept()
    with running(source, taker):
        wait_until(lambda: source.lag() == 0, "the end of the topic is known")
    send(topic, STOP)
    assert taker.kept == []
    with running(bus(first="latest"), taker):  # by the broker's offsets
        wait_until(taker.ended, "what came while the service was off")
    assert taker.ended() == 1


def test_offsets_that_the_broker_forgot_are_read_from_the_file(topic, bus, send, tmp_path):
    send(topic, STOP, STOP)
    taker = Kept()
    with running(bus(folder=tmp_path), taker):
        wait_until(lambda: taker.ended() == 2, "two documents")
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / path.name.replace("-xas", "-other"))  # whose offsets nobody knows
    send(topic, STOP)
    again = Kept()
    with running(bus("other", first="latest", folder=tmp_path), again):
        wait_until(again.ended, "what came since")
    assert again.ended() == 1
    for damaged in ("", "[1]", '{"a": null}', "{"):
        next(tmp_path.iterdir()).write_text(damaged)
        bus("other", folder=tmp_path)


def test_a_topic_that_is_made_later_is_named_until_it_is_there(cluster, send):
    source, taker = KafkaBus(cluster.address, ["later"], "later", settings=QUICK), Kept()
    with running(source, taker):
        wait_until(lambda: "not available: later" in source.failing(), "what is missing is named")
        cluster.make("later")
        wait_until(lambda: source.failing() == "", "nothing fails any more")
        send("later", STOP)
        wait_until(taker.ended, "a document")


def test_a_topic_that_the_user_may_not_read_ends_the_service_with_the_fix(cluster, topic, bus):
    cluster.refuse(topic, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with running(bus(), Kept()) as raised:
        wait_until(lambda: raised, "it ends")
    assert "let the user read the topic" in str(raised[0])


def test_a_broker_that_goes_and_comes_is_named_and_used_again(topic, send):
    with broker() as own:
        own.make("a")
        producer = Producer({"bootstrap.servers": own.address, "log_level": 0})
        source, taker = KafkaBus(own.address, ["a"], "g", first="earliest", settings=QUICK), Kept()
        with running(source, taker):
            wait_until(lambda: source.failing() == "", "the broker has answered")
            own.go()
            wait_until(lambda: own.address in source.failing(), "it is missed")
            own.come()
            wait_until(lambda: source.failing() == "", "it is there again")
            producer.produce("a", encode(*STOP))
            assert producer.flush(60) == 0
            wait_until(taker.ended, "a document")


@pytest.mark.slow
def test_messages_that_the_broker_forgot_are_counted(cluster, topic, bus, send, tmp_path):
    send(topic, STOP)
    with running(bus(folder=tmp_path), taker := Kept()):
        wait_until(taker.ended, "a document")
    send(topic, STOP, STOP, STOP)
    cluster.forget(topic, 3)
    source = bus(folder=tmp_path)
    with running(source, taker := Kept()):
        wait_until(taker.ended, "what is left")
    assert source.refused == {"expired": 2}
    assert taker.ended() == 1


def test_what_the_broker_forgets_while_a_new_group_pauses_costs_no_more_than_that(
    cluster, topic, bus, send
):
    source, taker = bus(first="latest"), Kept()
    with running(source, taker):
        wait_until(lambda: source.lag() == 0, "the end of the topic is known")
        send(topic, STOP)
        wait_until(taker.ended, "a document")
        taker.is_full = True
        wait_until(lambda: source._paused, "it pauses")
        send(topic, *[STOP] * 5)
        cluster.forget(topic, 4)
        taker.is_full = False
        wait_until(lambda: taker.ended() == 3, "what is left")
    assert source.refused == {"expired": 3}


def test_a_second_service_of_a_group_says_that_it_stands_by(topic, bus, send):
    send(topic, STOP)
    first, second, taker = bus(), bus(), Kept()
    with running(first, taker):
        wait_until(taker.ended, "the first reads")
        with running(second, Kept()):
            wait_until(lambda: "another service" in second.failing(), "the second says so")


def test_a_broker_that_never_answers_is_named_and_the_service_ends_all_the_same():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quick = {"api.version.request.timeout.ms": 1000}
        source = KafkaBus(f"127.0.0.1:{silent.getsockname()[1]}", ["a"], "g", settings=quick)
        with running(source, Kept()):
            wait_until(lambda: "brokers are down" in source.failing(), "its silence is noticed")
        assert source.lag() is None


class Web(socketserver.BaseRequestHandler):
    """A web server where a broker is looked for."""

    def handle(self):
        self.request.recv(1000)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_a_server_that_is_no_broker_is_named():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        source = KafkaBus(f"127.0.0.1:{server.server_address[1]}", ["a"], "g")
        with running(source, Kept()):
            wait_until(
                lambda: "HTTP" in source.failing() or "down" in source.failing(), "it says so"
            )
        server.shutdown()
    assert source.lag() is None


class Refusing:
    """A consumer whose broker answers every poll with an error, or with these messages."""

    def __init__(self, settings, code=None, ends=(0, 0), committed=-1001, **_):
        self.code, self.ends, self.offset = code, ends, committed
        self.began, self.polled = None, 0

    def subscribe(self, topics, on_assign, **_):
        if self.code is None:
            on_assign(self, [TopicPartition("a", 0)])

    def committed(self, partitions, timeout):
        return [TopicPartition("a", 0, self.offset)]

    def get_watermark_offsets(self, *_, **__):
        return self.ends

    def assign(self, partitions):
        self.began = partitions[0].offset

    def assignment(self):
        return []

    def store_offsets(self, offsets):
        pass

    def resume(self, partitions):
        pass

    def poll(self, timeout):
        self.polled += 1
        if self.code is None:
            return None
        error = KafkaError(self.code, "as the broker says")
        return SimpleNamespace(error=lambda: error, topic=lambda: "a")

    def consume(self, *_, **__):
        return []

    def close(self):
        pass


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "group g"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "RANKAAE_STREAM_KAFKA_PASSWORD"),
        (KafkaError._AUTHENTICATION, "RANKAAE_STREAM_KAFKA_PASSWORD"),
        (KafkaError.TOPIC_EXCEPTION, "a: no name that Kafka allows"),
    ],
)
def test_what_no_trial_can_help_ends_the_service_with_the_fix(code, fix):
    source = KafkaBus("k:1", ["a"], "g", consumer=lambda *a, **k: Refusing(*a, code, **k))
    with running(source, Kept()) as raised:
        wait_until(lambda: raised, "it ends")
    assert fix in str(raised[0])


@pytest.mark.parametrize(
    ("ends", "committed", "saved", "began", "expired"),
    [
        ((0, 9), 5, 7, 5, 0),  # the broker's own offset comes first: somebody may have set it
        ((0, 9), -1001, 7, 7, 0),
        ((8, 9), -1001, 3, 8, 5),  # 8 days off: what is gone is counted
        ((8, 9), 3, None, 8, 5),
        ((0, 4), 70, 70, 0, 0),  # the topic was made anew
        ((2, 9), -1001, None, 9, 0),
    ],
)
def test_where_a_service_begins(tmp_path, ends, committed, saved, began, expired):
    if saved is not None:
        (tmp_path / "kafka-g.json").write_text(json.dumps({"a/0": saved}))
    made = []

    def consumer(*arguments, **more):
        made.append(Refusing(*arguments, ends=ends, committed=committed, **more))
        return made[-1]

    source = KafkaBus("k:1", ["a"], "g", folder=tmp_path, consumer=consumer)
    with running(source, Kept()):
        wait_until(lambda: made[-1].polled > 1, "it polls")
    assert made[-1].began == began
    assert source.refused["expired"] == expired


def test_a_wrong_setting_ends_the_program_at_its_start():
    with pytest.raises(ConfigurationError, match=r"security\.protocol"):
        KafkaBus("k:1", ["a"], "g", settings={"security.protocol": "none"})
    with pytest.raises(ConfigurationError, match="RANKAAE_STREAM_KAFKA_PASSWORD"):
        KafkaBus("me:word@k:1", ["a"], "g")
    for arguments in (("", ["a"], "g"), ("k:1", [], "g"), ("k:1", ["a"], "")):
        with pytest.raises(ConfigurationError, match="needs"):
            KafkaBus(*arguments)


def test_an_installation_without_kafka_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install rankaae-stream\[kafka\]"):
        KafkaBus("k:1", ["a"], "g")


YAML = """---
abort_run_on_kafka_exception: false
bootstrap_servers:
  - kafka1:9092
  - kafka2:9092
runengine_producer_config:
  acks: 0
  message.timeout.ms: 3000
  compression.codec: snappy
  security.protocol: SASL_SSL
  sasl.mechanisms: PLAIN
  sasl.username: beamline
"""
TOML = """
bootstrap_servers = "kafka1:9092,kafka2:9092"
[consumer_config]
"security.protocol" = "SASL_SSL"
"sasl.mechanisms" = "PLAIN"
"sasl.username" = "beamline"
"""


@pytest.mark.parametrize(("name", "text"), [("kafka.yml", YAML), ("kafka.toml", TOML)])
def test_a_facilitys_settings_are_read_and_its_password_from_the_environment(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    signing_in = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "beamline",
    }
    assert read_settings(path, {}) == ("kafka1:9092,kafka2:9092", signing_in)
    secret = {"RANKAAE_STREAM_KAFKA_PASSWORD": "word"}
    assert read_settings(path, secret)[1] == {**signing_in, "sasl.password": "word"}
    assert read_settings(None, secret) == ("", {"sasl.password": "word"})
    servers, settings = read_settings(path, secret)
    KafkaBus(servers, ["a"], "g", settings=settings)


def test_a_password_in_the_file_is_never_read_and_never_shown(tmp_path):
    path = tmp_path / "kafka.yml"
    path.write_text(YAML + "  sasl.password: treasure\n")
    with pytest.raises(ConfigurationError, match="export RANKAAE_STREAM_KAFKA_PASSWORD") as caught:
        read_settings(path, {})
    assert "treasure" not in str(caught.value)
    for wrong in ("sasl.password: [treasure", "\x00treasure", "!!python/object:os.system {a: b}"):
        path.write_text(wrong)
        with pytest.raises(ConfigurationError) as caught:
            read_settings(path, {})
        assert "treasure" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[1]", "bootstrap_servers: 5", "consumer_config: 5", "consumer_config: {a: [1]}"]
)
def test_settings_of_another_form_are_named(tmp_path, text):
    path = tmp_path / "kafka.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"kafka\.yml"):
        read_settings(path, {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_settings(tmp_path / "none.yml", {})


def test_a_message_keeps_arrays_as_arrays(topic, bus, send):
    taker = Kept()
    doc = {"descriptor": "d", "data": {"mca": np.arange(6, dtype="<u4").reshape(2, 3)}}
    send(topic, ("event", doc), STOP)
    with running(bus(), taker):
        wait_until(taker.ended, "the last document")
    same([("event", doc), STOP], taker.kept)
