"""A worker reads ahead of what it handles, but not much of what is large."""

import os
import threading

from waiting import wait_until

from rankaae_stream.service.process import write_message
from rankaae_stream.service.worker import AHEAD, LARGE, _messages


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
