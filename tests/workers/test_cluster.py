"""A crew on a Dask cluster gives several runs at once, without a run paying for another's fault."""

from concurrent.futures import Future
from types import SimpleNamespace

import distributed
import pytest

from rankaae_stream.past.references import Held
from rankaae_stream.past.selection import Selection
from rankaae_stream.workers import cluster as module
from rankaae_stream.workers.cluster import Cluster
from rankaae_stream.workers.one_run import Answer, Task
from rankaae_stream.workers.processes import Setup
from rankaae_stream.workers.side_by_side import Limit, in_order

SETUP = Setup(None, Selection(), (), {}, "", ("", None))


class Client:
    """Dask's, as far as a crew uses it; the work is done where it is submitted."""

    sent: list[list[str]]

    def __init__(self, *_args, **_settings):
        Client.sent = []

    def wait_for_workers(self, *_args, **_settings):
        pass

    def nthreads(self):
        return {"one": 1, "other": 1}

    def submit(self, work, token, setup, tasks, *, pure):
        assert pure is False
        self.sent.append([task.source.uid for task in tasks])
        future = Future()
        if any(task.source.uid == "deadly" for task in tasks):
            future.set_exception(distributed.KilledWorker("it", SimpleNamespace(), 3))
        else:
            future.set_result(work(token, setup, tasks))
        return future

    def cancel(self, _futures):
        pass

    def close(self):
        pass


@pytest.fixture
def answered(monkeypatch):
    """Answer runs of these names, each in so many seconds; what came of each, in order."""

    def work(names, seconds):
        clock = SimpleNamespace(now=0.0)

        def answer(task):
            clock.now += seconds
            return [Answer(task.source.uid, {})]

        monkeypatch.setattr(distributed, "Client", Client)
        monkeypatch.setattr(Setup, "build", lambda _: SimpleNamespace(answer=answer))
        monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
        tasks = [Task(Held(name, {}, []), 0.0) for name in names]
        with Cluster("tcp://127.0.0.1:8786", SETUP) as crew:
            done = list(in_order(crew, tasks, lambda _: None, Limit(8), lambda: 0.0))
        return [answer for _, answers in done for answer in answers]

    return work


NAMES = [f"run-{number}" for number in range(60)]


def test_quick_runs_are_sent_several_at_once_and_slow_ones_one_by_one(answered):
    assert [one.name for one in answered(NAMES, 0.02)] == NAMES
    assert max(map(len, Client.sent)) == module.MOST
    assert len(Client.sent) < 30
    assert [one.name for one in answered(NAMES, 0.2)] == NAMES
    assert Client.sent == [[name] for name in NAMES]


def test_a_run_that_ends_its_worker_costs_those_beside_it_nothing(answered):
    names = [*NAMES[:30], "deadly", *NAMES[30:]]
    told = answered(names, 0.02)
    assert [one.name for one in told] == names
    assert [one.name for one in told if one.problem] == ["deadly"]
    (first, last) = (sent for sent in Client.sent if "deadly" in sent)
    assert len(first) > 1
    assert last == ["deadly"]
    assert all([name] in Client.sent for name in first)
