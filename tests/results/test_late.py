"""That results are late is written where readers of Tiled see it, and taken back."""

import pytest
from composing import RETRY, KeepingSink, composed
from waiting import PATIENCE, wait_until

from rankaae_stream.results.late import LASTS, LATE, PURPOSE, RENEW, LateNotice, Waits
from rankaae_stream.results.sender import Sender
from rankaae_stream.results.sinks import Rejected, Unavailable
from rankaae_stream.results.spool import Spool
from rankaae_stream.results.tiled_sink import TiledSink

BEGAN = 1_000_000.0
NOTHING = Waits(0.0, 0.0, 0, "")


class Beamline:
    """A clock and what waits, which a test moves."""

    def __init__(self, folder) -> None:
        self.now, self.waits = BEGAN, NOTHING
        self.folder = folder
        self.notice = self.again()

    def again(self) -> LateNotice:
        """The notice of the next session with this spool."""
        return LateNotice({"name": "iss"}, self.folder, lambda: self.waits, lambda: self.now)

    def tell(self, *, taken: bool = True) -> dict:
        run = self.notice.compose()
        if taken:
            self.notice.taken(run)
        return run.stop["summary"]

    def is_late(self) -> None:
        """Until it is due."""
        self.waits = Waits(0.0, self.now - LATE, 3, "Tiled answers HTTP 500")
        assert not self.notice.due
        self.now += LASTS
        assert self.notice.due


@pytest.fixture
def beamline(tmp_path):
    return Beamline(tmp_path)


def test_nothing_is_written_while_nothing_waits_long(beamline):
    assert not beamline.notice.due
    beamline.waits = Waits(0.0, BEGAN, 3, "")
    for _ in range(int(LATE) - 1):
        beamline.now += 1.0
        assert not beamline.notice.due


def test_results_that_an_earlier_session_left_are_no_news_when_they_leave_at_once(beamline):
    beamline.waits = Waits(0.0, BEGAN - 86_400, 3, "")
    assert not beamline.notice.due
    beamline.waits = NOTHING
    beamline.now += LASTS
    assert not beamline.notice.due


def test_lateness_is_told_with_its_beginning_and_reason_and_renewed(beamline):
    beamline.is_late()
    said = beamline.tell()
    assert said == {
        "since": BEGAN - LATE,
        "told": BEGAN + LASTS,
        "unsent": 3,
        "analysis": False,
        "reason": "Tiled answers HTTP 500",
        "profile": "iss",
    }
    beamline.now += RENEW - 1
    assert not beamline.notice.due
    beamline.now += 1
    assert beamline.notice.due


def test_documents_that_wait_longest_are_told_as_the_analysis(beamline):
    beamline.waits = Waits(BEGAN - 2 * LATE, BEGAN - LATE, 3, "")
    assert not beamline.notice.due
    beamline.now += LASTS
    assert beamline.notice.due
    said = beamline.tell()
    assert (said["since"], said["analysis"]) == (BEGAN - 2 * LATE, True)


def test_it_is_taken_back_once_and_tried_until_tiled_has_it(beamline):
    beamline.is_late()
    beamline.tell()
    beamline.waits = NOTHING
    beamline.now += LASTS
    assert beamline.notice.due
    assert beamline.tell(taken=False)["since"] == 0.0
    assert not beamline.notice.due, "not ten times a second"
    beamline.now += LASTS
    assert beamline.notice.due
    beamline.tell()
    beamline.now += 10 * RENEW
    assert not beamline.notice.due


def test_a_notice_of_a_session_that_was_killed_is_taken_back_by_the_next(beamline):
    beamline.is_late()
    uid = beamline.notice.compose().uid
    beamline.waits = NOTHING
    beamline.notice = beamline.again()
    assert beamline.notice.due
    assert beamline.notice.compose().uid == uid
    beamline.tell()
    assert not beamline.again().due


def test_control_characters_of_a_reason_do_not_reach_who_reads_it(beamline):
    beamline.is_late()
    beamline.waits = beamline.waits._replace(reason="\x1b[2J" + "x" * 1000)
    assert "\x1b" not in beamline.tell()["reason"]
    assert len(beamline.tell()["reason"]) == 300


class Sink(KeepingSink):
    """Keeps notices, too."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: list[dict] = []
        self.refuses: Exception | None = None

    def provisional(self, run) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.notices.append(run.stop["summary"])


@pytest.mark.parametrize("refuses", [Unavailable("away"), Rejected("never"), OSError("broken")])
def test_a_notice_that_is_not_taken_holds_no_result(tmp_path, beamline, refuses):
    sink = Sink()
    sink.refuses = refuses
    sender = Sender(sink, Spool(tmp_path / "spool"), RETRY)
    beamline.is_late()
    sender.notice(beamline.notice)
    sender.final(composed())
    assert sender.wait_idle(PATIENCE)
    assert sink.finals == [composed().uid]
    assert sender.failing == ""
    assert sender.close(PATIENCE) == 0


def test_a_notice_comes_before_the_results_that_wait_and_at_the_end_says_what_is_left(
    tmp_path, beamline
):
    sink = Sink()
    sender = Sender(sink, Spool(tmp_path / "spool"), RETRY)
    sink.failing = Unavailable("away")
    for number in range(3):
        sender.final(composed(number))
    wait_until(lambda: sender.failing, "nothing is taken")
    beamline.is_late()
    sender.notice(beamline.notice)
    wait_until(lambda: sink.notices, "the notice")
    assert sink.finals == []
    sink.failing = None
    assert sender.wait_idle(PATIENCE)
    beamline.waits = NOTHING
    sender.notice(beamline.notice)
    assert sender.close(PATIENCE) == 0
    assert [one["since"] for one in sink.notices] == [BEGAN - LATE, 0.0]


def test_tiled_holds_one_notice_a_spool_which_is_renewed(server, beamline):
    sink = TiledSink(server.uri, "processed", server.api_key, key_variable="THE_KEY")
    beamline.is_late()
    for waits in (beamline.waits, beamline.waits._replace(unsent=5), NOTHING):
        beamline.waits = waits
        sink.provisional(beamline.notice.compose())
        found = server.client("processed")[beamline.notice.compose().uid]
        assert found.metadata["start"]["purpose"] == PURPOSE
        assert found.metadata["stop"]["summary"]["unsent"] == waits.unsent
    assert len(found) == 0
    sink.close()
