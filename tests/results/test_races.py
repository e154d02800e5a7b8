"""What `benchmarks/races.py` and `benchmarks/two_days.py` count, in a short form."""

import pytest
from benchmarks import races, two_days
from postgres import programs

pytestmark = [pytest.mark.services, pytest.mark.slow]

FACILITY = "sqlite" if programs() is None else "postgresql"
"""Where there is PostgreSQL, it is what a facility has."""


@pytest.mark.parametrize(
    ("database", "processes"), [("sqlite", False), (FACILITY, True)], ids=["threads", "processes"]
)
def test_writers_of_the_same_results_that_meet_are_all_done_and_each_is_there_once(
    database, processes
):
    rows = races.race(1, database=database, processes=[processes])
    assert len(rows) == 3
    for row in rows:
        assert row.right, row


def test_a_tiled_that_is_killed_while_it_makes_a_node_has_all_results_at_the_end():
    for row in races.kill(4, database=FACILITY):
        assert row.right, row


def test_a_session_of_twenty_scans_loses_nothing_and_leaves_nothing():
    figures = two_days.play(20)
    assert figures.right, figures
    assert figures.outages >= 2
    assert figures.left_by_the_killed == 3
