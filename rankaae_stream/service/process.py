"""Start a worker as a program of its own, and talk to it through its standard streams.

A program, and no fork or copy of this process: whatever a user's script does when it is
imported would be done again in a copy.
"""

import contextlib
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

__all__ = ["WORKER", "WorkerProcess", "packed", "read_message", "unpacked", "write_message"]

WORKER = (sys.executable, "-P", "-m", "rankaae_stream.service.worker")

HEAD = struct.Struct("<I")
"""Before each message: how many bytes it has."""


def packed(value: Any) -> bytes:
    """Return what supervisor and worker tell each other."""
    return json.dumps(value).encode()


def unpacked(payload: bytes) -> Any:
    """Return what `packed` was given."""
    return json.loads(payload)


def write_message(stream: IO[bytes], *parts: bytes) -> None:
    """Write a message of these parts; it has left this process when this returns."""
    stream.write(HEAD.pack(sum(map(len, parts))))
    for part in parts:  # not put together: a document may be large
        stream.write(part)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes | None:
    """Read the next message; None where the other side is gone."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    (size,) = HEAD.unpack(head)
    message = stream.read(size)
    return message if len(message) == size else None


class WorkerProcess:
    """A worker, from its start to its end.

    Parameters
    ----------
    program : sequence of str
        What is run.
    settings : mapping
        Its first message: the profile's, with the key, and how to log.
    hear : callable
        Receives what it tells, in a thread of its own.
    """

    def __init__(
        self,
        program: Sequence[str],
        settings: Mapping[str, Any],
        hear: Callable[[Mapping[str, Any]], object],
    ) -> None:
        self._process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # One thread: the beamline's own programs share the machine.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # Ctrl-C at a terminal is for the session: the supervisor decides.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._hear = hear
        self._reader = threading.Thread(target=self._read, name="rankaae-stream hear", daemon=True)
        self._reader.start()
        with contextlib.suppress(OSError):
            write_message(self._to, packed(settings))

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    def send(self, *parts: bytes) -> None:
        """Give it a message of these parts; wait as long as it reads none.

        Raises
        ------
        OSError, ValueError
            When it is gone.
        """
        write_message(self._to, *parts)

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended and all that it told was heard; False on time-out."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
            self._reader.join(timeout)
            return True
        return False

    def kill(self) -> None:
        """End it at once, if it lives, and forget its streams."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait(10.0)
        for stream in (self._to, self._from):
            with contextlib.suppress(OSError, ValueError):
                stream.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (message := read_message(self._from)) is not None:
                self._hear(unpacked(message))
