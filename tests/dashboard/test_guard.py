"""Requests of other sites' pages are refused."""

import asyncio

import pytest

from rankaae_stream.dashboard.guard import OwnAddresses, read_authority

SENTENCE = "another name"


def asked(headers, *, server=("127.0.0.1", 8000), names=(), origins=(), kind="http"):
    """What a request is answered: the status, or the close code of a websocket."""
    said = []

    async def app(scope, receive, send):
        said.append(200)

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        said.append(message.get("status") or message.get("code"))

    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": kind, "headers": pairs, "server": server, "method": "GET", "path": "/"}
    guard = OwnAddresses(app, names, origins=origins, sentence=SENTENCE)
    asyncio.run(guard(scope, receive, send))
    return said[0]


def host(name, **options):
    return asked([("host", name)], **options)


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1:8000",
        "localhost:8000",
        "LocalHost:8000",
        "localhost.:8000",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
        "[::ffff:127.0.0.1]:8000",
    ],
)
def test_the_names_of_this_machines_loopback_are_answered(name):
    assert host(name) == 200
    assert host(name, server=("::1", 8000)) == 200
    assert host(name, kind="websocket") == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example:8000",
        "evil.example",
        "127.0.0.1.evil.example:8000",
        "localhost.evil.example:8000",
        "evil.example.:8000",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:1",
        "127.0.0.1:08000x",
        "127.0.0.1:8000@evil.example",
        "evil.example@127.0.0.1:8000",
        "127.0.0.1:8000, evil.example",
        "127.0.0.1:8000/evil",
        "10.0.0.1:8000",
        "0.0.0.0:8000",
        "[::2]:8000",
        "",
        " ",
        "\xff",
    ],
)
def test_another_name_or_port_is_refused(name):
    assert host(name) == 403
    assert host(name, kind="websocket") == 1008


def test_one_host_header_is_needed_and_no_more():
    assert asked([]) == 403
    assert asked([("host", "127.0.0.1:8000")] * 2) == 403
    assert asked([("host", "127.0.0.1:8000"), ("host", "evil.example")]) == 403
    assert asked([("host", "evil.example"), ("host", "127.0.0.1:8000")]) == 403


def test_a_default_port_need_not_be_named():
    for name in ("127.0.0.1", "127.0.0.1:80", "localhost"):
        assert host(name, server=("127.0.0.1", 80)) == 200
    assert host("127.0.0.1:8000", server=("127.0.0.1", 80)) == 403


def test_beyond_the_loopback_the_address_that_was_asked_counts():
    lan = ("192.0.2.7", 8000)
    assert host("192.0.2.7:8000", server=lan) == 200
    for name in ("localhost:8000", "127.0.0.1:8000", "192.0.2.8:8000", "evil.example:8000"):
        assert host(name, server=lan) == 403
    assert host("[2001:db8::7]:8000", server=("2001:db8:0::7", 8000)) == 200
    assert host("192.0.2.7:8000", server=("::ffff:192.0.2.7", 8000)) == 200


def test_further_names_are_answered_by_the_own_port_none_or_the_one_that_is_stated():
    names = ["Tiled.Example", "tunnel.example:9000"]
    for name in ("tiled.example:8000", "tiled.example", "TILED.example.", "tunnel.example:9000"):
        assert host(name, names=names) == 200
    for name in ("tiled.example:1", "tunnel.example:8000", "tunnel.example", "a.tiled.example"):
        assert host(name, names=names) == 403
    page = [("host", "127.0.0.1:8000"), ("origin", "https://tiled.example")]
    assert asked(page, names=names) == 200, "behind a server that states its own address"


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("HTTP://LOCALHOST:8000", True),
        ("http://[::1]:8000", True),
        ("http://evil.example", False),
        ("http://evil.example:8000", False),
        ("http://127.0.0.1:8001", False),
        ("http://127.0.0.1", False),
        ("https://127.0.0.1:8000.evil.example", False),
        ("file://", False),
        ("chrome-extension://abcdef", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_page_of_another_origin_is_refused(kind, origin, taken):
    headers = [("host", "127.0.0.1:8000"), ("origin", origin)]
    assert (asked(headers, kind=kind) == 200) is taken
    assert asked([*headers, ("origin", "http://127.0.0.1:8000")], kind=kind) != 200


def test_a_page_that_is_named_may_read():
    headers = [("host", "127.0.0.1:8000"), ("origin", "https://Page.example")]
    assert asked(headers, origins=["https://page.example"]) == 200
    assert asked(headers, origins=["https://other.example"]) == 403


def test_a_reading_request_of_another_site_is_refused_and_a_link_is_not():
    def site(*more):
        return asked([("host", "localhost:8000"), *more])

    assert site(("sec-fetch-site", "same-origin")) == 200
    assert site(("sec-fetch-site", "none")) == 200
    assert site(("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")) == 200
    assert site(("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")) == 403
    assert site(("sec-fetch-site", "same-site")) == 403


def test_an_authority_is_read_or_is_none():
    assert read_authority("tiled.example:443") == ("tiled.example", 443)
    for text in ("http://tiled.example", "a b", "[::1", "::1", "a:b", "a:123456", "."):
        assert read_authority(text) is None
