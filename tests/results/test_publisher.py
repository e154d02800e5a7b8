"""The publisher waits for what will leave, and not for a sink that takes nothing."""

import pytest
from composing import result
from waiting import PATIENCE

from rankaae_stream.profile import load_profile
from rankaae_stream.results import publisher as publishing
from rankaae_stream.results.publisher import ResultPublisher
from rankaae_stream.results.sinks import Postponed, Unavailable


@pytest.fixture
def publish(tmp_path):
    """A publisher to one callable, whose first attempts raise what is given."""
    made = []

    def to(*errors):
        left = list(errors)

        def sink(name, doc):
            if name == "start" and left:
                raise left.pop(0)

        made.append(ResultPublisher(load_profile("sim", spool=tmp_path), [sink], to_tiled=False))
        made[-1](result())
        return made[-1]

    yield to
    for one in made:
        one.close(PATIENCE)


@pytest.mark.slow
def test_a_replay_stays_until_what_another_session_left_can_be_written_again(publish):
    """Its patience is 20 s, and a run that a killed session left is free after a minute."""
    publisher = publish(*[Postponed("another session is writing it")] * 2)
    assert publisher.drain(0.0)


def test_it_leaves_what_is_postponed_for_ever(publish, monkeypatch):
    monkeypatch.setattr(publishing, "ANOTHER_WRITER", 0.1)
    publisher = publish(*[Postponed("HTTP 500")] * 3)
    assert not publisher.drain(0.0)


def test_it_does_not_wait_for_a_sink_that_takes_nothing(publish):
    publisher = publish(*[Unavailable("it does not answer")] * 20)
    assert not publisher.drain(0.5)
    assert publisher.waiting == 1
