"""Run a Kafka broker in a process of its own, whose log is on the disk: to be killed.

It is nafka (``pip install nafka``), a broker in Python that stores messages and offsets in
SQLite. librdkafka's own broker lives in its client's process and forgets all with it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

_PROGRAM = """
import sqlite3
import time
from nafka import server, store

# It asks for Python 3.12's word for what isolation_level=None has always been.
connect = sqlite3.connect
sqlite3.connect = lambda db, uri=False, **_: connect(db, uri=uri, isolation_level=None)
server.token_urlsafe = lambda _: "the-same-cluster"
join, heard = server.KafkaBroker.do_JoinGroupRequest, server.KafkaBroker.do_HeartbeatRequest
sessions, until = {}, {}


async def join_late(broker, request):
    # It waits for ever for a member that left without a word; a broker does until its session ends.
    members = broker.consumer_groups.setdefault(request.group, server.ConsumerGroup())
    others = [each for each in members.members if each != request.member_id]
    while any(until[each] > time.monotonic() for each in others):
        await server.asyncio.sleep(0.1)
    members.remove_members(others)
    sessions[request.member_id] = request.session_timeout / 1000
    until[request.member_id] = time.monotonic() + sessions[request.member_id]
    return await join(broker, request)


async def hear(broker, request):
    until[request.member_id] = time.monotonic() + sessions.get(request.member_id, 0.0)
    return await heard(broker, request)


server.KafkaBroker.do_JoinGroupRequest = join_late
server.KafkaBroker.do_HeartbeatRequest = hear
server.main()
"""


class NafkaBroker:
    """A broker of one node and one partition a topic.

    Attributes
    ----------
    address : str
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("nafka") is None:
            raise SystemExit("the broker is missing: pip install nafka")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self._file = folder / "kafka.sqlite"
        self.start()

    def start(self) -> None:
        """Start it, where it was and with what it had; return when it answers."""
        command = [sys.executable, "-c", _PROGRAM, "--port", str(self._port), "--file", self._file]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """End it without a last word."""
        self._process.kill()
        self._process.wait()

    def hang(self, seconds: float) -> None:
        """Let it stand still: connections stay, and nothing is answered."""
        os.kill(self._process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._process.pid, signal.SIGCONT)
