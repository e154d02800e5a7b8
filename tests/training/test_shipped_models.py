"""What the committed models say of measured spectra, by the runtime's own graphs."""

import json

import numpy as np
import pytest
from scipy.stats import rankdata

from rankaae_stream.calibration import apply_map
from rankaae_stream.latent import reconstruction_residual
from rankaae_stream.model import load_model, shipped_models
from rankaae_stream.resources import folder
from training import standards

SERIES = {
    "Fe": ("Fe/FeO_rt_01.xdi", "Fe/Fe3O4_rt_01.xdi", "Fe/Fe2O3_rt_01.xdi"),
    "V": ("V/V2O3.xdi", "V/VO2.xdi", "V/V2O5.xdi"),
    "Mn": ("Mn/mn_mno.xdi", "Mn/mn_mn2o3.xdi", "Mn/mn_mno2.xdi"),
}
FOILS_BEYOND = {"Fe", "V"}
"""Manganese metal lies at 0.31, within what 5 % of simulated oxides reach (0.34)."""
LARGEST_MAE = {"Fe": 0.20, "V": 0.45, "Mn": 0.40}
"""Valence, over compounds among the standards."""


class Judged:
    """One element's model, and what it says of every measured file."""

    def __init__(self, element: str) -> None:
        key = max(key for key in shipped_models() if key.startswith(f"{element.lower()}-k/"))
        path = folder("models") / key
        model = load_model(path, shipped_models()[key], "cpu")
        self.card = card = model.card
        self.evaluation = json.loads((path / "evaluation.json").read_text(encoding="utf-8"))
        self.files = standards.load(element, card.grid)
        shift = card.theory_shift.value
        flat = np.stack([one.on_grid(card.grid, card.edge.e0, shift) for one in self.files])
        self.latent = model.encode(flat).astype(float)
        output = model.decode(self.latent).mean(axis=0).astype(float)
        grid = card.grid.relative()
        self.distance = reconstruction_residual(flat, output, grid, card.domain.start)[1]

    def estimates(self, name: str) -> dict[str, float]:
        """By file."""
        output = next(one for one in self.card.outputs if one.name == name)
        value = np.mean(
            [apply_map(one, self.latent[m, :, output.latent]) for m, one in enumerate(output.maps)],
            axis=0,
        )
        return {one.file: float(value[i]) for i, one in enumerate(self.files)}


@pytest.fixture(scope="module", params=sorted(SERIES))
def judged(request):
    return request.param, Judged(request.param)


def test_the_oxides_of_a_metal_come_in_the_order_of_their_valence(judged):
    element, model = judged
    estimates = model.estimates("oxidation_state")
    low, middle, high = (estimates[file] for file in SERIES[element])
    assert low + 0.1 < middle
    assert middle + 0.1 < high


def test_the_error_on_measured_compounds_stays_bounded(judged):
    element, model = judged
    estimates = model.estimates("oxidation_state")
    by_compound: dict[str, list[float]] = {}
    for one in model.files:
        if one.role == "standard":
            error = estimates[one.file] - one.oxidation_state
            by_compound.setdefault(one.compound, []).append(error)
    errors = [abs(np.mean(found)) for found in by_compound.values()]
    assert np.mean(errors) < LARGEST_MAE[element]


def test_intervals_hold_the_valences_of_the_series(judged):
    element, model = judged
    estimates = model.estimates("oxidation_state")
    output = model.card.outputs[0]
    half = np.hypot(output.simulated_error, output.standards_error)
    true = {one.file: one.oxidation_state for one in model.files}
    for file in SERIES[element]:
        assert abs(estimates[file] - true[file]) < half, file


def test_the_evaluation_that_is_shipped_is_that_of_the_graphs(judged):
    _, model = judged
    for name in ("oxidation_state", "coordination_number"):
        for file, value in model.estimates(name).items():
            assert value == pytest.approx(model.evaluation["files"][file][name], abs=2e-3)


def test_good_oxides_lie_within_the_domain_and_foils_beyond_it(judged):
    element, model = judged
    threshold = model.card.domain.threshold
    roles = np.array([one.role for one in model.files])
    assert np.mean(model.distance[roles == "standard"] <= threshold) >= 0.65
    if element in FOILS_BEYOND:
        assert (model.distance[roles == "foil"] > threshold).all()


def test_foils_are_further_away_than_oxides(judged):
    _, model = judged
    roles = np.array([one.role for one in model.files])
    inside, outside = roles == "standard", np.isin(roles, ["foil", "other"])
    ranks = rankdata(np.concatenate([model.distance[outside], model.distance[inside]]))
    n, m = outside.sum(), inside.sum()
    auroc = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    assert auroc > 0.8


def test_simulated_compounds_that_no_trial_saw_are_ranked(judged):
    _, model = judged
    assert model.evaluation["test"]["oxidation_state"]["spearman_score"] > 0.85
    assert model.evaluation["test"]["oxidation_state"]["mean_absolute_error_loss"] < 0.4
