"""Networks for parts of spectra: what they learn from, how they are judged, and their factors."""

import numpy as np
import pytest
import torch

from rankaae_stream.loading import default_analysis
from rankaae_stream.spectra.partial import ABOVE, BELOW
from training.measured import standards
from training.partial import judge, student
from training.partial.build import read_partial
from training.partial.judge import CASES, REACHES, Case, Row
from training.partial.parts import GRID, PURE, SIMULATED, Source, complete_answers, draw
from training.partial.student import Drawn, Student, fit_member
from training.partial.train import FOLDS, fold_of

RELATIVE = GRID.relative()
OXIDES = ("FeO", "Fe2O3 hematite")
AXIS = np.arange(-24.0, 72.25, 0.25)


@pytest.fixture(scope="module")
def teacher():
    return default_analysis().models["Fe K"]


def steps(edges, axis=AXIS):
    at = axis - np.asarray(edges)[:, None]
    return 0.5 + np.arctan(at / 1.5) / np.pi + 0.4 * np.exp(-0.5 * ((at - 4.0) / 3.0) ** 2)


def source(settings=SIMULATED):
    flat = steps(np.linspace(2.0, 12.0, 20))
    return Source(AXIS, flat, np.full(20, 0.05), settings)


def test_parts_reach_over_the_edge_and_are_the_same_for_a_seed(teacher):
    inputs, wanted = draw(source(), 200, teacher, np.random.default_rng(0))
    again, _ = draw(source(), 200, teacher, np.random.default_rng(0))
    np.testing.assert_array_equal(inputs, again)
    assert inputs.shape == (200, 2 * GRID.points)
    assert wanted.shape == (200, 2 * len(teacher.card.outputs) + 1)
    seen = inputs[:, GRID.points :] > 0.5
    first, last = RELATIVE[seen.argmax(axis=1)], RELATIVE[::-1][seen[:, ::-1].argmax(axis=1)]
    assert first.max() <= BELOW + 0.5
    assert last.min() >= ABOVE - 2.5
    assert not inputs[:, : GRID.points][~seen].any()
    assert np.isfinite(inputs).all()
    assert np.isfinite(wanted).all()


def test_what_is_wanted_is_what_the_model_answers_to_the_complete_spectrum(teacher):
    measured = [one.normalized() for one in standards.load("Fe") if one.compound in OXIDES]
    flat = np.stack([np.interp(RELATIVE, energy, curve) for energy, curve in measured])
    values = complete_answers(teacher, flat)
    k = len(teacher.card.outputs)
    assert len(values) >= 2
    assert ((values[:, 0] > 1.8) & (values[:, 0] < 3.2)).all()
    assert (values[:, k : 2 * k] < 2.0).all(), "logarithms of half-widths"
    assert (np.abs(values[:, -1]) <= 6.0).all()


def test_a_network_learns_where_the_edge_is_and_states_a_smaller_scale_where_it_is_seen(
    monkeypatch,
):
    monkeypatch.setattr(student, "STEPS", 300)
    rng = np.random.default_rng(0)
    edges = rng.uniform(2.0, 12.0, 2000)
    curves, reach = steps(edges, RELATIVE), rng.uniform(4.0, 40.0, 2000)
    seen = reach[:, None] >= RELATIVE
    inputs = np.concatenate([np.where(seen, curves, 0.0), seen], axis=1).astype(np.float32)
    centre, spread = np.array([edges.mean()]), np.array([edges.std()])
    pool = Drawn(inputs, edges[:, None], 128)
    member = fit_member([pool], np.ones(1), centre, spread, seed=0)
    both = Student([member, member], centre, spread).eval()
    with torch.no_grad():
        value, scale = both(torch.from_numpy(inputs)).numpy()[:, :, 0].T
    late = reach > 25.0
    assert np.corrcoef(value[late], edges[late])[0, 1] > 0.95
    assert np.median(scale[late]) < 0.7 * np.median(scale[reach < 6.0])


def rows(scale, compounds=40):
    """Rows whose errors are normal with a standard deviation of `scale` times what is stated."""
    rng = np.random.default_rng(0)
    return [
        Row(
            "Fe",
            f"c{number}",
            case,
            {"oxidation_state": scale * 0.2 * rng.normal()},
            {"oxidation_state": 0.2},
            {"oxidation_state": 0.05},
            no_oxide=rng.uniform(0.0, 0.5),
        )
        for number in range(compounds)
        for case in CASES
    ]


def test_factors_hold_nine_in_ten_and_grow_with_the_errors():
    narrow, wide = (judge.factors(rows(s), ["oxidation_state"], 0.9) for s in (1.0, 3.0))
    assert len(narrow["oxidation_state"]) == len(REACHES)
    assert np.mean(wide["oxidation_state"]) > 2.0 * np.mean(narrow["oxidation_state"])
    lines = judge.summary(rows(3.0), wide)
    assert 0.85 <= np.mean([line["held"] for line in lines]) <= 0.96
    assert all(line["answered"] == 1.0 for line in lines)


def test_a_part_that_was_refused_counts_as_not_answered():
    made = [*rows(1.0, 9), *(Row("Fe", "dark", case, {}, {}, {}) for case in CASES)]
    lines = judge.summary(made, judge.factors(made, ["oxidation_state"], 0.9))
    assert {round(line["answered"], 2) for line in lines} == {0.9}


def test_few_oxides_exceed_the_threshold_of_a_part():
    limits = judge.thresholds(rows(1.0))
    assert len(limits) == len(REACHES)
    assert all(0.4 < limit < 0.5 for limit in limits)


def test_every_compound_is_left_out_of_one_fold():
    names = tuple(f"c{i}" for i in range(7))
    assert {fold_of(name, names) for name in names} == set(range(FOLDS))


def test_copies_of_what_is_no_oxide_are_not_mixed():
    assert PURE.mixture_share == 0.0
    assert Case(-50.0, 0.003, 10.0) in CASES


def test_without_partial_answers_there_is_nothing_to_read(tmp_path):
    assert read_partial(tmp_path) == {}
