"""What would change: curves along one descriptor, and the map backwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankaae_stream import resources
from rankaae_stream.inference import infer
from rankaae_stream.model.card import MonotoneMap
from rankaae_stream.model.folder import load_model, shipped_models
from rankaae_stream.model.maps import apply_map, invert_map

STATE = "oxidation_state"


@pytest.fixture(scope="module", params=sorted(shipped_models()))
def model(request):
    path = resources.folder("models") / request.param
    return load_model(path, shipped_models()[request.param], "cpu")


@pytest.fixture(scope="module")
def golden(model):
    """Latents (members, latent) of a simulated spectrum."""
    key = next(key for key, digest in shipped_models().items() if digest == model.card.id)
    with np.load(resources.folder("models") / key / "golden.npz", allow_pickle=False) as pair:
        return pair["latent"][:, 0].astype(float)


def half_height(model, curve):
    """Where a curve first passes 0.5, eV from the tabulated edge."""
    energy = model.card.grid.relative()
    i = int(np.argmax(curve >= 0.5))
    return float(np.interp(0.5, curve[i - 1 : i + 1], energy[i - 1 : i + 1]))


def state_of(model):
    return next(one for one in model.card.outputs if one.name == STATE)


@st.composite
def maps(draw):
    knots = draw(st.lists(st.integers(-20, 20), min_size=2, max_size=8, unique=True))
    levels = draw(st.lists(st.integers(0, 5), min_size=len(knots), max_size=len(knots)))
    return MonotoneMap(np.sort(knots) / 4.0, np.sort(levels) / 2.0)


@given(fitted=maps(), latent=st.floats(-8, 8), near=st.floats(-8, 8))
def test_the_inverse_gives_a_latent_of_that_value_and_none_is_nearer(fitted, latent, near):
    value = apply_map(fitted, np.array([latent]))
    found = invert_map(fitted, value, np.array([near]))
    np.testing.assert_allclose(apply_map(fitted, found), value, atol=1e-12)
    assert abs(found[0] - near) <= abs(latent - near) + 1e-9


@given(fitted=maps(), near=st.floats(-8, 8))
def test_a_value_out_of_reach_gives_the_nearer_end(fitted, near):
    given_near = np.array([near, near])
    low, high = fitted.value[0], fitted.value[-1]
    beyond = invert_map(fitted, np.array([low - 1.0, high + 1.0]), given_near)
    np.testing.assert_array_equal(beyond, invert_map(fitted, np.array([low, high]), given_near))


def test_at_the_value_it_has_a_spectrum_is_its_reconstruction(model, golden):
    # Members that disagree are first brought to one value, by bisection of their maps.
    output = state_of(model)
    wanted = float(np.mean([m.value[[0, -1]] for m in output.maps]))
    at = golden.copy()
    for m, one in enumerate(output.maps):
        low, high = one.latent[0], one.latent[-1]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if apply_map(one, middle) < wanted else (low, middle)
        at[m, output.latent] = low
    found = model.what_if(STATE, [wanted], at=at)
    np.testing.assert_allclose(found[0], model.decode(at[:, None]).mean(axis=0)[0], atol=1e-5)


def test_only_the_tied_latent_moves(model, golden, monkeypatch):
    seen = []
    decode = type(model).decode
    monkeypatch.setattr(
        type(model), "decode", lambda self, latent: seen.append(latent) or decode(self, latent)
    )
    output = state_of(model)
    low, high = output.maps[0].value[[0, -1]]
    values = np.linspace(low, high, 4)
    curves = model.what_if(STATE, values, at=golden)
    (latent,) = seen
    assert curves.shape == (4, model.card.grid.points)
    others = np.arange(model.card.latent) != output.latent
    np.testing.assert_array_equal(
        latent[:, :, others], np.repeat(golden[:, None, others], 4, axis=1)
    )
    for m, one in enumerate(output.maps):
        reached = np.clip(values, one.value[0], one.value[-1])
        np.testing.assert_allclose(apply_map(one, latent[m, :, output.latent]), reached, atol=1e-9)


def test_what_encode_gives_goes_in_and_nothing_given_is_altered(model, golden):
    low, high = state_of(model).maps[0].value[[0, -1]]
    at, values = golden[:, None].astype(np.float32), np.linspace(low, high, 3)
    kept = at.copy(), values.copy()
    curves = model.what_if(STATE, values, at=at)
    np.testing.assert_array_equal(at, kept[0])
    np.testing.assert_array_equal(values, kept[1])
    np.testing.assert_allclose(curves, model.what_if(STATE, list(values), at=at[:, 0]))


def test_without_a_spectrum_the_others_stay_in_the_middle(model):
    zeros = np.zeros((model.card.members, model.card.latent))
    np.testing.assert_array_equal(
        model.what_if(STATE, [2.5]), model.what_if(STATE, [2.5], at=zeros)
    )


@pytest.mark.parametrize("value", [-1.0, 9.0, float("nan")])
def test_a_value_that_no_member_has_learned_is_refused_with_the_range(model, value):
    maps = state_of(model).maps
    low, high = min(m.value[0] for m in maps), max(m.value[-1] for m in maps)
    with pytest.raises(ValueError, match=rf"lies outside .*{low:.4g} to {high:.4g} e"):
        model.what_if(STATE, [2.5, value])


def test_a_descriptor_that_the_model_lacks_is_refused_with_those_it_has(model):
    with pytest.raises(ValueError, match=r"no descriptor 'valence'.*oxidation_state"):
        model.what_if("valence", [2.5])


def test_latents_of_two_spectra_are_refused(model, golden):
    with pytest.raises(ValueError, match="one spectrum"):
        model.what_if(STATE, [2.5], at=np.stack([golden, golden], axis=1))


def test_iron_that_is_oxidised_from_two_to_three_moves_its_edge_up():
    model = iron()
    ferrous, between, ferric = (
        half_height(model, curve) for curve in model.what_if(STATE, [2.0, 2.5, 3.0])
    )
    assert ferrous + 0.5 < between < ferric - 0.5
    assert 1.0 < ferric - ferrous < 7.0


def test_measured_wuestite_oxidised_to_three_has_its_edge_where_hematite_has_it(measured):
    model = iron()
    flat, foil = {}, measured("Fe/Fe_metal_rt_02.xdi")
    for name in ("FeO", "Fe2O3"):
        energy, mu = measured(f"Fe/{name}_rt_01.xdi")
        report = infer(energy, mu, "Fe", reference=np.interp(energy, *foil))
        flat[name] = report.curves.flat
    at = model.encode(flat["FeO"][None])
    (curve,) = model.what_if(STATE, [3.0], at=at)
    moved = half_height(model, curve) - half_height(model, flat["FeO"])
    assert moved > 1.0
    assert half_height(model, curve) == pytest.approx(half_height(model, flat["Fe2O3"]), abs=1.5)


def iron():
    key = max(key for key in shipped_models() if key.startswith("fe-k/"))
    return load_model(resources.folder("models") / key, shipped_models()[key], "cpu")
