"""Messages of a bus become documents within bounds, and a pickle never runs."""

import json
import pickle
import subprocess
import sys
import tracemalloc
from contextlib import suppress

import msgpack_numpy
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgpack import FormatError, OutOfData, StackError, _cmsgpack

from rankaae_stream.past.packed import Unpacker, array_of, unpackb
from rankaae_stream.service import decode as module
from rankaae_stream.service.decode import CONTAINERS, ROOM, SMALL, NotADocument, decode, encode
from rankaae_stream.service.weight import CutShort, of_json, of_msgpack

EVENT = {
    "uid": "e",
    "descriptor": "d",
    "time": 1.5,
    "seq_num": 3,
    "data": {
        "energy": np.float32(7112.25),
        "mca": np.arange(12, dtype="<u2").reshape(3, 4),
        "empty": np.zeros((0, 5)),
        "names": np.array(["i0", "it"]),
        "on": np.array([True, False]),
        "wave": 1 + 2j,
        "filled": np.int64(-7),
    },
    "timestamps": {"energy": float("inf")},
    "filled": {},
    "a_newer_key": {"kept": [None, True, "é"]},
}


def sent(value):
    """A message as bluesky-kafka's producer makes it."""
    return _cmsgpack.Packer(default=msgpack_numpy.encode).pack(value)


def refused(payload, **bounds):
    with pytest.raises(NotADocument) as caught:
        decode(payload, **bounds)
    assert caught.value.message
    return caught.value.reason


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, (np.ndarray, np.generic)):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


@pytest.mark.parametrize("pack", [lambda *pair: sent(pair), encode])
def test_a_document_comes_back_bit_for_bit_with_the_keys_of_a_newer_schema(pack):
    name, doc = decode(pack("event", EVENT))
    assert name == "event"
    same(doc, EVENT)


def test_dates_which_msgpack_numpy_cannot_write_come_back_too():
    doc = {"descriptor": "d", "data": {"when": np.array(["2026-11-26"], dtype="M8[s]")}}
    same(decode(encode("event", doc))[1], doc)


def test_both_write_the_same_bytes():
    assert encode("event", EVENT) == sent(("event", EVENT))


STOP = {"uid": "b", "run_start": "a"}


@pytest.mark.parametrize("pair", [["stop", STOP], {"name": "stop", "doc": STOP}])
def test_json_may_be_a_pair_or_name_its_parts(pair):
    assert decode(b" " + json.dumps(pair).encode()) == ("stop", STOP)


class Runs:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return print, ("a pickle ran",)


@pytest.mark.parametrize(
    "doc",
    [
        {"data": {"a": np.array([Runs()], dtype=object)}},
        {"data": {"a": np.array([(1, Runs())], dtype=[("x", "i4"), ("y", "O")])}},
    ],
)
def test_an_array_of_objects_is_refused_and_does_not_run(doc, capsys):
    assert refused(sent(("event", doc))) == "pickle"
    assert refused(pickle.dumps(("event", doc))) == "pickle"
    assert "ran" not in capsys.readouterr().out


def test_a_program_that_lets_msgpack_unpickle_does_not_let_it_here(tmp_path):
    """bluesky-kafka does so when it is imported, for all of the program."""
    payload = sent(("start", {"uid": "a", "time": 1.0, "x": np.array([Runs()], dtype=object)}))
    (tmp_path / "run.msgpack").write_bytes(payload)
    program = """
import msgpack_numpy; msgpack_numpy.patch()
from pathlib import Path
from rankaae_stream.past.in_files import read_runs
from rankaae_stream.service.decode import NotADocument, decode
try:
    decode(Path("run.msgpack").read_bytes())
except NotADocument as error:
    print(error.reason)
print(read_runs(Path("run.msgpack"))[0].problem)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "ran" not in done.stdout
    assert done.stdout.startswith("pickle\n")
    assert "array of objects" in done.stdout


def nested(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


def test_a_document_may_nest_as_deep_as_the_bound_and_no_deeper():
    for pack in (sent, lambda pair: json.dumps(pair).encode()):
        assert decode(pack(["datum", nested(10)]), depth=10)
        assert refused(pack(["datum", nested(11)]), depth=10) == "depth"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "format"),
        (b"\x92\xa5start", "format"),  # cut short
        (sent(["stop", {}]) + b"\x00", "format"),
        (sent(["stop", {}, 1]), "format"),
        (sent("stop"), "format"),
        (sent(["stop", []]), "format"),
        (sent(["stop", {b"uid": 1}]), "format"),
        (sent(["stop", {"a": {b"uid": 1}}]), "format"),
        (sent(["stop", {1: 1}]), "format"),
        (b"\x92\xa4stop\xd4\x05a", "format"),  # an extension type
        (sent(["finish", {}]), "name"),
        (sent([{}, {}]), "name"),
        (b'["stop", {}', "format"),
        (b'["stop", ' + b"[" * 100_000, "depth"),
        (b"\x92\xa4stop" + b"\x91" * 5000, "format"),
        (b"\x92" + b"\xdd\xff\xff\xff\xff" * 500, "format"),  # states 4 thousand million items
        (sent(["stop", {"x": [[]] * 1_000_001}]), "size"),
        (sent(["stop", {"x": "y" * 1000}]), "size"),
    ],
    ids=range(18),
)
def test_what_is_no_document_is_refused_by_its_reason(payload, reason):
    assert refused(payload, most=2_000_000 if len(payload) > 2000 else 1000) == reason


@pytest.mark.parametrize(
    "array",
    [
        {b"type": "<f8", b"shape": [2], b"data": b"12345678"},
        {b"type": "<f8", b"shape": [-1], b"data": b"12345678"},
        {b"type": "<f8", b"shape": [2**60, 0], b"data": b""},
        {b"type": "<f8", b"shape": 1, b"data": b"12345678"},
        {b"type": "<f8", b"shape": [1], b"data": "12345678"},
        {b"type": "(2,)f8", b"shape": [1], b"data": b"12345678"},
        {b"type": "|V8", b"shape": [1], b"data": b"12345678"},
        {b"type": "|S0", b"shape": [1], b"data": b"12345678"},
        {b"type": "|S999999999", b"shape": [1], b"data": b"12345678"},
        {b"shape": [1], b"data": b"12345678"},
    ],
)
def test_an_array_that_does_not_fit_its_bytes_is_refused(array):
    assert refused(sent(["event", {"data": {"x": {b"nd": True, **array}}}])) == "format"


def test_a_document_that_no_message_can_hold_is_not_written():
    for value in (object(), 2**70, np.array([object()], dtype=object), {1, 2}):
        with pytest.raises(NotADocument, match="start"):
            encode("start", {"uid": "a", "x": value})


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=20,
)


@given(doc=st.dictionaries(st.text(), values, max_size=5))
@example({"x": float("nan")})
def test_any_document_comes_back(doc):
    doc = {"uid": "a", "x": doc}
    name, again = decode(encode("start", doc))
    assert encode(name, again) == encode("start", doc)


@given(payload=st.binary(max_size=200), place=st.integers(0, 400), cut=st.integers(0, 400))
def test_any_bytes_are_a_document_or_refused(payload, place, cut):
    good = encode("event", EVENT)
    for message in (payload, good[:place] + payload[:3] + good[place + 3 :], good[:cut]):
        try:
            name, doc = decode(message)
        except NotADocument:
            continue
        encode(name, doc)


@given(
    item=st.dictionaries(
        st.sampled_from([b"nd", b"type", b"kind", b"shape", b"data", b"complex"]),
        st.none()
        | st.booleans()
        | st.binary(max_size=16)
        | st.sampled_from(["<f8", "O", "|b1", "U2", "M8[7D]", "1j", "(", "i4,i4"])
        | st.lists(st.integers(-1, 2**40), max_size=70),
    )
)
def test_any_mapping_of_an_array_is_read_or_refused(item):
    with suppress(ValueError):
        array_of(item)


@pytest.mark.parametrize(
    ("name", "doc", "wrong"),
    [
        ("start", {}, "uid"),
        ("start", {"uid": ""}, "uid"),
        ("start", {"uid": ["a"]}, "uid"),
        ("stop", {"uid": "b"}, "run_start"),
        ("stop", {"uid": "b", "run_start": {"a": 1}}, "run_start"),
        ("descriptor", {"uid": 7, "run_start": "a"}, "uid"),
        ("event", {"uid": "e", "data": {}}, "descriptor"),
        ("event_page", {"uid": ["e"], "descriptor": None}, "descriptor"),
        ("datum", {"datum_id": "d", "resource": [1]}, "resource"),
        ("bulk_events", {"primary": 5}, "list of events"),
        ("bulk_events", {"primary": [{"descriptor": "d"}, 1]}, "int, not a mapping"),
        ("bulk_events", {"primary": [{"uid": "e"}]}, "descriptor"),
    ],
)
def test_a_document_of_which_nobody_knows_the_run_is_refused_where_it_comes_in(name, doc, wrong):
    with pytest.raises(NotADocument, match=wrong) as caught:
        decode(encode(name, doc))
    assert caught.value.reason == "format"


def test_a_page_has_a_uid_for_each_row():
    assert decode(encode("event_page", {"uid": ["e"], "descriptor": "d"}))[0] == "event_page"


def test_containers_are_counted_in_json_before_they_are_made():
    payload = b'["start",{"uid":"a","x":[' + b"[]," * CONTAINERS + b"0]}]"
    tracemalloc.start()
    with pytest.raises(NotADocument, match="lists and mappings") as caught:
        decode(payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.reason == "size"
    assert peak < len(payload)


ITEMS = {
    "empty texts": b"\xa0",
    "short texts": b"\xa2ab",
    "texts of wide letters": b"\xa4\xf0\x9f\x98\x80",
    "texts with a long head": b"\xd9\x02ab",
    "bytes": b"\xc4\x02ab",
    "small numbers": b"\x01",
    "numbers": b"\xcd\x7f\xff",
    "floats": b"\xcb" + b"\x3f" * 8,
    "long integers": b"\xcf" + b"\xff" * 8,
    "numbers and texts": b"\xcd\x7f\xff\x01\xa2ab",
    "lists": b"\x90",
    "lists of one": b"\x91\xc0",
    "mappings": b"\x80",
    "mappings of one": b"\x81\xa1a\x01",
    "numbers of numpy": sent(np.float64(1.5)),
    "arrays": sent(np.zeros(0)),
    "complex numbers": sent(1j),
}


def many(item, size):
    """A start document with a list of so many bytes."""
    kinds = 3 if item == ITEMS["numbers and texts"] else 1
    count = size // len(item)
    head = b"\x92\xa5start\x82\xa3uid\xa1a\xa1x\xdd"
    return head + (kinds * count).to_bytes(4, "big") + count * item


def peak(work, *arguments):
    """Bytes that a function has taken at most."""
    tracemalloc.start()
    with suppress(NotADocument):
        work(*arguments)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def read(payload):
    """Read a message without a look before."""
    return unpackb(payload, object_hook=array_of)


@pytest.mark.parametrize("kind", ITEMS)
def test_a_message_takes_no_more_than_is_said_before_it_is_made(kind):
    payload = many(ITEMS[kind], 20_000)
    assert peak(read, payload) < 1.1 * of_msgpack(payload, 1 << 30) + 20_000
    assert 88 * SMALL < ROOM, "no value takes more for its bytes than an empty mapping"


@pytest.mark.parametrize("kind", ITEMS)
def test_a_message_that_would_take_much_is_refused_before_it_is_made(kind, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 1000)
    monkeypatch.setattr(module, "ROOM", 400_000)
    payload = many(ITEMS[kind], 300_000)
    assert refused(payload) == "size"
    assert peak(decode, payload) < len(payload)


@pytest.mark.parametrize(
    "item", ['"ab",', '"\\u20ac",', '"\\ud83d\\ude00",', '"€",', "300,", "[],", "{},", '{"a":1},']
)
def test_the_same_of_json(item, monkeypatch):
    text = '["start",{"uid":"a","x":[' + item * (20_000 // len(item)) + "0]}]"
    payload = text.encode()
    assert peak(json.loads, payload) < 1.1 * of_json(payload) + 20_000
    monkeypatch.setattr(module, "SMALL_JSON", 1000)
    monkeypatch.setattr(module, "ROOM", 50_000)
    assert refused(payload) == "size"


@pytest.mark.parametrize("letter", ["a", "µ", "€", "😀"])
def test_one_long_text_takes_no_more_than_is_said(letter):
    text = "a" * 100_000 + letter
    weight = of_msgpack(sent(text), 1 << 30)
    assert peak(read, encode("start", {"x": text})) < weight + 20_000
    assert (weight < 1.1 * len(text)) == (letter == "a"), "of ASCII, its own bytes"
    for ascii_only in (True, False):
        payload = json.dumps(text, ensure_ascii=ascii_only).encode()
        assert peak(json.loads, payload) < of_json(payload) + 20_000


def test_large_pages_of_arrays_and_of_lists_are_read():
    rows = 200_000
    for column in (np.arange(rows) / 7, (np.arange(rows) / 7).tolist()):
        page = {"uid": ["e" * 36] * rows, "descriptor": "d", "data": {"i0": column, "it": column}}
        payload = encode("event_page", page)
        assert len(payload) > SMALL
        same(decode(payload)[1], page)


@given(payload=st.binary(max_size=60) | values.map(lambda value: sent(["start", {"x": value}])))
@example(b"\xdc\x00\x0a" + b"\x01" * 9)
@example(b"\xdc\x00\x0a" + b"\xcd\x01\x00" * 9 + b"\xcd\x01")
@example(b"\x9a" + b"\xa2ab" * 9 + b"\xa2a")
def test_what_is_weighed_ends_where_msgpacks_reader_ends(payload):
    reader = Unpacker()
    reader.feed(payload)
    try:
        reader.skip()
    except (ValueError, OutOfData, FormatError, StackError):
        whole = False
    else:
        whole = reader.tell() == len(payload)
    try:
        of_msgpack(payload, 1 << 50)
    except CutShort as error:
        weighed = "of kind" in str(error) and whole  # an extension, which no document has
    else:
        weighed = True
    assert weighed == whole
