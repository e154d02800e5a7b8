"""A service answers what its bus brings, is watched, and ends when it is told to."""

import json
import threading
import urllib.error
import urllib.request
from collections import Counter

import pytest
from tiled.queries import Key
from waiting import PATIENCE, wait_until

from rankaae_stream import resources
from rankaae_stream.commands.serve import Bus, open_bus
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile
from rankaae_stream.service.serve import _changed, serve
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step

FE2O3 = next(sample for sample in SERIES if sample.name == "Fe2O3")


class Played:
    """A bus that brings one run."""

    def __init__(self, wrong=None):
        self.name = "a list"
        self.refused = Counter(pickle=1)
        self.uid = ""
        self.wrong = wrong

    def run(self, taker, stopping):
        if self.wrong:
            raise self.wrong
        for name, doc in ophyd_step(Beam(FE2O3), name="served", element="Fe"):
            self.uid = self.uid or doc["uid"]
            taker.take(name, doc)
        taker.flush()
        stopping.wait()

    def failing(self):
        return ""

    def note(self):
        return ""

    def lag(self):
        return 0


def get(address):
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def profile_for(tmp_path, server):
    return load_profile(
        "generic",
        spool=tmp_path / "spool",
        tiled={"uri": server.uri},
        tiled_api_key=server.api_key,
    )


@pytest.mark.services
def test_a_run_of_a_bus_is_published_and_the_service_is_watched(server, tmp_path):
    bus, stopping, said = Played(), threading.Event(), []
    done = []

    def work():
        profile = profile_for(tmp_path, server)
        done.append(serve(profile, bus, stopping=stopping, told=lambda *what: said.append(what)))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: said, "it is up")
        address = said[-1][1]
        assert get(f"{address}/healthz")[0] == 200

        def answered():
            return json.loads(get(f"{address}/status")[1])["answered"]

        wait_until(lambda: answered() >= 1, "it is answered")
        assert get(f"{address}/readyz")[0] == 200
        status = json.loads(get(f"{address}/status")[1])
        assert status["source"] == "a list"
        assert status["messages_refused"] == {"pickle": 1}
        assert status["documents"]["stop"] == 1
        metrics = get(f"{address}/metrics")[1]
        wait_until(
            lambda: "xas_run_latency_seconds_count 1.0" in get(f"{address}/metrics")[1],
            "its latency is counted",
        )
        assert bus.uid not in metrics
    finally:
        stopping.set()
        thread.join(PATIENCE)
    assert done == [0]
    found = server.client("processed").search(Key("start.original_run_uid") == bus.uid)
    assert len(found) == 3, "its channels"


def test_a_bus_that_cannot_be_used_ends_the_service_with_the_reason(tmp_path, server):
    bus = Played(ConfigurationError("the topic may not be read"))
    with pytest.raises(ConfigurationError, match="the topic may not be read"):
        serve(profile_for(tmp_path, server), bus)


def test_a_profile_that_changes_meanwhile_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((resources.folder("profiles") / "generic.toml").read_text("utf-8"), "utf-8")
    now = load_profile(path)

    def changed():
        return _changed(now, lambda: load_profile(path))

    assert changed() == []
    path.write_text(path.read_text("utf-8") + "\n[energy]\naxis_sigma = 0.3\n", "utf-8")
    assert changed() == ["the profile has changed; restart the service to use it"]
    path.write_text("name = ", "utf-8")
    assert "is wrong now" in changed()[0]


@pytest.mark.parametrize(
    ("bus", "message"),
    [
        (Bus("kafka"), "name Kafka's servers"),
        (Bus("kafka", "127.0.0.1:9092"), "name Kafka's topic"),
        (Bus("tiled"), "name the catalog of raw runs"),
        (Bus("zmq", "10.0.0.1:5578", allow_pickle=True), "pickles are read from a proxy on this"),
    ],
)
def test_a_bus_that_is_named_in_part_says_what_lacks(tmp_path, bus, message):
    profile = load_profile("generic", spool=tmp_path, tiled_api_key="key")
    with pytest.raises(ConfigurationError, match=message):
        open_bus(bus, profile)


@pytest.mark.parametrize(
    "bus",
    [
        Bus("zmq", "127.0.0.1:5578"),
        Bus("kafka", "127.0.0.1:1", topics=("documents",)),
        Bus("tiled", "http://127.0.0.1:1#raw"),
    ],
    ids=lambda bus: bus.kind,
)
def test_each_bus_is_made_without_anybody_at_its_address(tmp_path, bus):
    profile = load_profile("generic", spool=tmp_path, tiled_api_key="key")
    assert open_bus(bus, profile).name.startswith(bus.kind)
