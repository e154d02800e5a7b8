"""A worker reads little ahead of what is large, and says when the results of a run are safe."""

import os
import threading

import pytest

pytest.importorskip("resource")  # no limit of a file's size on Windows
from full_disk import full_disk
from waiting import wait_until

from rankaae_stream.profile import load_profile
from rankaae_stream.service.process import write_message
from rankaae_stream.service.worker import AHEAD, LARGE, _messages
from rankaae_stream.session import Session
from rankaae_stream.simulate import SERIES
from rankaae_stream.simulate.documents import Beam
from rankaae_stream.simulate.steps import ophyd_step


def test_large_messages_are_read_one_at_a_time_and_all_come_in_order():
    ours, theirs = os.pipe()
    sent = [b"small"] * 3 + [bytes([at]) * (LARGE + 1) for at in range(4)] + [b"last"]
    written = []

    def write():
        with os.fdopen(theirs, "wb") as stream:
            for message in sent:
                write_message(stream, message[:1], message[1:])
                written.append(message)

    threading.Thread(target=write, daemon=True).start()
    with os.fdopen(ours, "rb") as source:
        messages = _messages(source)
        wait_until(lambda: messages.qsize() == 3, "the small ones")
        found = []
        for _ in sent:
            found.append(messages.get())
            assert sum(len(held or b"") > LARGE for held in tuple(messages.queue)) <= 1
        assert found == sent
        assert messages.get() is None
    assert messages.maxsize == AHEAD


def test_a_run_is_over_when_its_results_are_on_the_disk_and_not_in_memory_only(tmp_path):
    """Until then its documents are kept: this process may be ended at any moment."""
    over = []
    profile = load_profile(
        "generic", spool=tmp_path, tiled={"uri": "http://127.0.0.1:1"}, tiled_api_key="key"
    )
    session = Session(profile, ended=over.append)
    run = list(ophyd_step(Beam(SERIES[0]), name="full", element="Fe"))
    with full_disk(100):
        for now, document in enumerate(run):
            session.feed(*document, float(now))
        session.tick(1e3)
        assert session.unsent > 0
        assert over == []

    def told():
        session.tick(1e3)
        return over == [run[0][1]["uid"]]

    wait_until(told, "there is room, and results go to the disk")
    assert session.close(0.0) > 0
    assert list(tmp_path.glob("tiled*/*.jsonl"))
