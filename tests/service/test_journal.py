"""Documents are on the disk or in memory until their run is answered, also on a full disk."""

import contextlib
import json
import os

import pytest

pytest.importorskip("resource")  # no limit of a file's size on Windows
from full_disk import full_disk

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.profile import load_profile
from rankaae_stream.service.decode import NotADocument
from rankaae_stream.service.journal import Journal
from rankaae_stream.service.supervisor import _open_journal


@pytest.fixture
def kept():
    """Close what was opened."""
    with contextlib.ExitStack() as stack:
        yield lambda journal: stack.enter_context(contextlib.closing(journal))


def held(journal):
    return [(kept.number, kept.run) for kept in journal.unfinished()]


def test_a_full_disk_raises_until_it_has_room_and_nothing_is_lost(tmp_path, kept):
    journal = kept(Journal(tmp_path / "a"))
    journal.add("start", {"uid": "r"})
    journal.flush()
    size = journal.bytes
    with full_disk(size + 10_000):
        for number in range(30):
            journal.add("stop", {"uid": f"{number}", "run_start": "r", "reason": "x" * 1000})
        for _ in range(2):  # also a second time: it must not count as written
            with pytest.raises(OSError, match="too large"):
                journal.flush()
        assert journal.bytes == size
        whole = held(journal)
        assert whole == [(number, "r") for number in range(31)], "a worker that is new gets all"
        assert len(journal.documents("r")) == 31
    journal.flush()
    assert held(journal) == whole
    journal.close()
    assert held(kept(Journal(tmp_path / "a"))) == whole


def test_a_run_is_answered_on_a_full_disk_and_leaves_nothing(tmp_path, kept):
    journal = kept(Journal(tmp_path))
    with full_disk(100):
        journal.add("start", {"uid": "r", "x": "y" * 1000})
        with pytest.raises(OSError, match="too large"):
            journal.flush()
        journal.forget("r")
        journal.flush()
    assert held(journal) == []
    assert journal.bytes == 0


def test_documents_that_cannot_be_removed_are_not_given_again_and_removed_later(
    tmp_path, monkeypatch, kept
):
    journal = kept(Journal(tmp_path))
    journal.add("start", {"uid": "r"})
    journal.flush()

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", refuse)
        journal.forget("r")
        assert held(journal) == []
        patched.setattr("pathlib.Path.replace", refuse)
        journal.add("start", {"uid": "s"})
        assert journal.put_aside("s", "it kills")["uid"] == "s"
    journal.flush()
    assert not list(tmp_path.glob("*.docs"))


def test_one_service_has_the_documents_of_a_profile_and_each_session_its_own(tmp_path, kept):
    profile = load_profile("generic", spool=tmp_path)
    first = kept(_open_journal(profile, alone=True))
    first.add("start", {"uid": "a"})
    first.flush()
    with pytest.raises(ConfigurationError, match="end it, or set spool to another folder"):
        _open_journal(profile, alone=True)
    second = kept(_open_journal(profile, alone=False))
    second.add("start", {"uid": "b"})
    assert held(second) == [(0, "b")]
    other = kept(_open_journal(load_profile("iss", spool=tmp_path), alone=True))
    assert held(other) == [], "of another profile"
    second.close()
    first.close()
    again = kept(_open_journal(profile, alone=True))
    assert sorted(run for _, run in held(again)) == ["a", "b"], "nobody else would answer it"
    assert again.add("start", {"uid": "c"}).number == 1
    assert os.listdir(tmp_path / "documents" / "generic.2") == ["lock", "quarantine"]


def test_a_document_that_cannot_be_kept_is_refused_and_holds_no_other(tmp_path, kept):
    """JSON may have half a letter or a number of 300 digits, which msgpack has not."""
    journal = kept(Journal(tmp_path))
    half = json.loads('"\\ud800"')
    for name, doc in (
        ("start", {"uid": half}),
        ("descriptor", {"uid": "d", "run_start": half}),
        ("start", {"uid": "r", "x": 10**300}),
    ):
        with pytest.raises(NotADocument, match="cannot be written"):
            journal.add(name, doc)
    assert journal.add("event", {"uid": "e", "descriptor": "d"}).run == ""
    journal.add("start", {"uid": "s"})
    journal.flush()
    assert held(journal) == [(1, "s")]
