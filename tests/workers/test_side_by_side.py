"""The order of answers, deaths, a busy server, and foils that are known later."""

from collections import deque

from rankaae_stream.past.references import Held
from rankaae_stream.spectra.foils import Use
from rankaae_stream.workers.one_run import Answer, Question, Task
from rankaae_stream.workers.side_by_side import AHEAD, Answered, Died, Limit, Read, in_order


class OnServer(Held):
    on_server = True


def task(name: str, kind: type[Held] = Held) -> Task:
    return Task(kind(name, {"uid": name, "time": 0.0}, []), 0.0)


class Scripted:
    """A crew that answers the last task first, by what is scripted for each name."""

    def __init__(self, size=2, script=None):
        self.size, self.ahead, self.script = size, AHEAD * size, script or {}
        self.running: deque[tuple[int, Task]] = deque()
        self.begun: list[str] = []
        self.most = 0

    @property
    def free(self):
        return len(self.running) < self.size

    def submit(self, number, task):
        self.running.append((number, task))
        self.begun.append(task.source.name)
        self.most = max(self.most, len(self.running))

    def wait(self, timeout, lookup):
        if not self.running:
            return
        number, task = self.running.pop()
        steps = self.script.get(task.source.name)
        made = steps.pop(0) if steps else "answer"
        if made == "die":
            yield Died(number, "exit code -9")
            return
        yield Read(number)
        if made == "busy":
            yield Answered(number, [Answer(task.source.name, {}, problem="busy", busy=True)])
        elif made == "ask":
            question = Question("r", "Fe K", 0.0)
            unknown = () if "r" in task.known else (question,)
            yield Answered(number, [Answer(task.source.name, {}, unknown=unknown)])
        else:
            yield Answered(number, [Answer(task.source.name, {})])


def names(yielded):
    return [answer.name for _, answers in yielded for answer in answers]


class Clock:
    """Seconds that pass each time they are asked for."""

    def __init__(self, step=1.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_answers_come_in_the_order_of_the_tasks_and_few_are_drawn_ahead():
    drawn = []

    def tasks():
        for i in range(100):
            drawn.append(i)
            yield task(str(i)) if i % 3 else [Answer(str(i), {})]

    found = in_order(Scripted(3), tasks(), lambda _: None, Limit(8))
    assert names([next(found)]) == ["0"]
    assert len(drawn) <= 3 * AHEAD
    assert names(found) == [str(i) for i in range(1, 100)]


def test_a_death_costs_one_attempt_and_a_second_is_a_problem_of_that_run_only():
    crew = Scripted(2, {"a": ["die"], "b": ["die", "die"]})
    found = {
        answer.name: answer
        for _, answers in in_order(crew, map(task, "abcd"), lambda _: None, Limit(8))
        for answer in answers
    }
    assert list(found) == list("abcd")
    assert [name for name, answer in found.items() if answer.problem] == ["b"]
    assert found["b"].problem == "the process that answered it died twice (exit code -9)"
    assert (crew.begun.count("a"), crew.begun.count("b")) == (2, 2)


def test_no_more_tasks_read_from_a_server_at_once_than_the_limit():
    crew = Scripted(16)
    tasks = [task(str(i), OnServer) for i in range(40)]
    assert len(names(in_order(crew, tasks, lambda _: None, Limit(8)))) == 40
    assert crew.most == 8
    crew = Scripted(16)
    assert (
        len(names(in_order(crew, map(task, map(str, range(40))), lambda _: None, Limit(8)))) == 40
    )
    assert crew.most == 16, "files are read as fast as there are workers"


def test_a_busy_server_is_asked_again_by_fewer_at_once():
    crew, limit = Scripted(4, {"a": ["busy", "busy"]}), Limit(8)
    tasks = [task(name, OnServer) for name in "abc"]
    found = list(in_order(crew, tasks, lambda _: None, limit, Clock()))
    assert names(found) == list("abc")
    assert not any(answer.problem for _, answers in found for answer in answers)
    assert limit.now == 2
    crew = Scripted(4, {"a": ["busy"] * 100})
    (answers,) = [a for _, a in in_order(crew, tasks[:1], lambda _: None, Limit(8), Clock(30.0))]
    assert answers[0].problem == "busy"


def test_the_limit_is_halved_once_for_tasks_that_read_together_and_grows_again():
    limit = Limit(8)
    for number in range(8):
        limit.begin(number)
    assert not limit.free
    limit.halve(0)
    limit.halve(1)
    assert limit.now == 4
    for number in range(8):
        limit.end(number)
    limit.begin(8)
    limit.halve(8)
    assert limit.now == 2
    for number in range(9, 100):
        limit.begin(number)
        limit.end(number)
    assert limit.now == 8


def test_a_run_is_answered_again_once_its_foil_is_known_here():
    crew = Scripted(1, {"a": ["ask", "ask"], "b": ["ask"]})
    known = {"a": Use(None)}
    asked = []

    def lookup(question):
        asked.append(question)
        return known["a"] if len(asked) == 1 else None

    first, second = in_order(crew, map(task, "ab"), lookup, Limit(8))
    assert first[1][0].unknown == ()
    assert first[0].known == {"r": Use(None)}
    assert second[1][0].unknown == (Question("r", "Fe K", 0.0),)
    assert crew.begun == ["a", "a", "b"]
