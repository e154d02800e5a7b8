"""A log that programs read: one object a line, with the run, without keys and controls."""

import io
import json
import logging
import threading
import time
import warnings
from datetime import datetime

import pytest

from rankaae_stream.about import about_run
from rankaae_stream.printable import get_logger
from rankaae_stream.service import logs
from rankaae_stream.service.logs import JsonLines, use_json_logs

KEY = "s3cr3t-of-tiled"
ours = get_logger("rankaae_stream.of_this_test")
foreign = logging.getLogger("somebody.else")


@pytest.fixture
def log():
    """Lines of what is logged as JSON; the loggers are as before afterwards."""
    root, package = logging.getLogger(), logging.getLogger("rankaae_stream")
    before = root.handlers[:], root.level, package.level
    stream = io.StringIO()
    environment = {"RANKAAE_STREAM_TILED_API_KEY": KEY, "KAFKA_PASSWORD": "pass of kafka"}
    use_json_logs("iss", stream=stream, environment=environment)

    def read():
        text = stream.getvalue()
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    yield read
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[:2]
    package.setLevel(before[2])


def test_a_line_says_when_what_and_where(log):
    ours.warning("a file is %d s late", 3)
    (line,) = log()
    assert line["event"] == "a file is 3 s late"
    assert (line["level"], line["profile"]) == ("warning", "iss")
    assert line["logger"] == "rankaae_stream.of_this_test"
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - time.time()) < 60
    assert line["time"].endswith("Z")
    assert "run_uid" not in line
    assert "exception" not in line


def test_a_message_within_the_work_on_a_run_names_it_and_others_do_not(log):
    with about_run("9d2f", 12):
        ours.error("refused")
        with about_run("77aa"):
            foreign.error("of an inner run")
        other = threading.Thread(target=lambda: ours.error("of another thread"))
        other.start()
        other.join()
    ours.error("after", extra={"run_uid": "e0e0"})
    found = [(line.get("run_uid"), line.get("scan_id")) for line in log()]
    assert found == [("9d2f", 12), ("77aa", None), (None, None), ("e0e0", None)]


def test_a_uid_of_a_document_cannot_forge_a_line_or_fill_the_disk(log):
    with about_run('9"}\n{"level": "error\x1b[2J' + "x" * 10_000, {"a": 1}):
        ours.error("refused")
    (line,) = log()
    assert "\x1b" not in line["run_uid"]
    assert len(line["run_uid"]) == logs.UID
    assert line["scan_id"] == "{'a': 1}"


def test_an_exception_is_one_text_in_the_same_line(log):
    try:
        raise ValueError("two\nlines \x1b]0;title\x07")
    except ValueError:
        foreign.exception("failed")
    (line,) = log()
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("two\nlines ]0;title")


def test_keys_of_the_environment_and_what_looks_like_one_are_never_written(log):
    try:
        raise RuntimeError(f"HTTP 401 for {KEY}")
    except RuntimeError:
        foreign.exception("GET https://me:word@tiled.example/x?api_key=abcdef with %s", KEY)
    foreign.error("authentication: pass of kafka")
    foreign.error("split by a control character: %s", KEY[:5] + "\x07" + KEY[5:])
    with about_run(KEY):
        ours.error("in a uid")
    text = json.dumps(log())
    for secret in (KEY, "word@", "abcdef", "pass of kafka"):
        assert secret not in text
    assert "tiled.example/x?api_key=***" in text


def test_a_short_value_of_the_environment_is_no_secret():
    record = logging.LogRecord("a", logging.INFO, "", 0, "1 of 11", (), None)
    assert json.loads(JsonLines("iss", ["1", ""]).format(record))["event"] == "1 of 11"


def test_debug_messages_of_libraries_stay_out_and_ours_follow_the_level(log):
    ours.debug("no")
    foreign.info("no")
    ours.info("yes")
    assert [line["event"] for line in log()] == ["yes"]


def test_warnings_of_python_are_lines_too(log):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("an old call", stacklevel=1)
    assert "an old call" in log()[0]["event"]


def test_a_message_that_does_not_fit_its_arguments_is_written():
    record = logging.LogRecord("a", logging.ERROR, "", 0, "%d files", ("three",), None)
    assert json.loads(JsonLines("iss").format(record))["event"] == "%d files"


def test_a_long_message_keeps_its_beginning_and_an_exception_its_end(log):
    try:
        raise ValueError("x" * 100_000 + "the end")
    except ValueError:
        ours.exception("y" * 100_000)
    (line,) = log()
    assert line["event"] == "y" * logs.EVENT
    assert line["exception"].endswith("the end")
    assert len(line["exception"]) == logs.EXCEPTION
