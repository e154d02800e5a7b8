"""What systemd is told, through a socket of its kind."""

import os
import socket

import pytest

from rankaae_stream.service import notify


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request, tmp_path, monkeypatch):
    """Return what arrives at the socket that the environment names."""
    path = str(tmp_path / "notify")
    address = path if request.param == "a path" else f"\0rankaae-stream-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        yield lambda: receiver.recv(4096).decode()


def test_each_state_is_a_datagram_with_a_status_of_one_line(systemd):
    assert notify.ready("Fe K, Cu K")
    assert systemd() == "READY=1\nSTATUS=Fe K, Cu K"
    assert notify.alive()
    assert systemd() == "WATCHDOG=1"
    assert notify.stopping()
    assert systemd() == "STOPPING=1"
    assert notify.say("no\nMAINPID=1\x1b")
    assert systemd() == "STATUS=no MAINPID=1"


def test_a_long_status_is_cut(systemd):
    notify.say("x" * 100_000)
    assert systemd() == "STATUS=" + "x" * notify.LONGEST


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "/does/not/exist"])
def test_nothing_happens_where_nobody_listens(address, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify.ready()


def test_a_watchdog_of_another_process_is_not_ours():
    allowed = {"WATCHDOG_USEC": "30000000"}
    assert notify.watchdog({**allowed, "WATCHDOG_PID": str(os.getpid())}) == 15.0
    assert notify.watchdog({**allowed, "WATCHDOG_PID": "1"}) is None
    assert notify.watchdog({"WATCHDOG_USEC": "soon"}) is notify.watchdog({}) is None
