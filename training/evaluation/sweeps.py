"""Decode spectra along each descriptor, and compare their trend with the literature.

One tied dimension sweeps from its 5th to its 95th percentile, the others stand where
random training spectra have them, and the decoder's curves are averaged over these.
What changes is measured on the curves: no sentence here is written beforehand.
"""

# pyright: basic
# scipy has no types

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from rankaae_stream.model.maps import apply_map
from rankaae_stream.model.networks import Model
from rankaae_stream.spectrum import Floats

__all__ = ["FEATURES", "KNOWN", "Rule", "Sweep", "Trend", "features", "judge_trend", "sweep_all"]

STEPS = 9
"""Curves a sweep."""

DRAWS = 200
"""Training spectra that the other dimensions are taken from."""

CLEAR = 0.8
"""|rho| of a feature along a sweep, from which on it is called a trend."""


@dataclass(frozen=True)
class Feature:
    """Something measured on a curve: its unit, and the change that is worth a word."""

    label: str
    verb: str
    unit: str
    least: float


FEATURES = {
    "edge": Feature("the edge at half height", "moves", "eV", 0.2),
    "pre_edge": Feature("the pre-edge", "changes", "edge steps", 0.01),
    "white_line": Feature("the white line's height", "changes", "edge steps", 0.02),
    "white_line_width": Feature("the white line's width", "changes", "eV", 0.3),
    "resonance": Feature("the first maximum behind the white line", "moves", "eV", 0.4),
}
"""What `features` measures."""


@dataclass(frozen=True)
class Rule:
    """What the literature knows: the sign of each feature as the descriptor rises.

    `signs` is empty where no simple rule is established; `note` says what is known,
    and who found it.
    """

    signs: Mapping[str, int]
    note: str


KNOWN = {
    "oxidation_state": Rule(
        {"edge": 1},
        "a higher valence moves the edge to higher energy (Wong et al., Phys. Rev. B 30, 5596, "
        "1984)",
    ),
    "coordination_number": Rule(
        {"pre_edge": -1, "white_line": 1},
        "from four to six neighbours the pre-edge fades, as p-d mixing is lost with the "
        "tetrahedron (Farges, Brown and Rehr, Phys. Rev. B 56, 1809, 1997), and the white line "
        "of six neighbours is the higher one",
    ),
    "bond_length_spread": Rule(
        {"white_line": -1, "white_line_width": 1},
        "unequal bonds scatter out of phase (Rehr and Albers, Rev. Mod. Phys. 72, 621, 2000): the "
        "white line becomes lower and broader",
    ),
    "mean_bond_length": Rule(
        {"resonance": -1},
        "longer bonds draw resonances to lower energy, as 1/R² (Natoli, Springer Ser. Chem. Phys. "
        "27, 43, 1983; Bianconi et al., Phys. Rev. B 32, 4292, 1985)",
    ),
    "min_ligand_distance": Rule(
        {},
        "The literature knows no simple rule for the shortest distance of two ligands; where "
        "oxygens further apart mean longer bonds, resonances should fall in energy (Natoli, "
        "Springer Ser. Chem. Phys. 27, 43, 1983).",
    ),
    "ligand_coordination": Rule(
        {},
        "The literature knows no simple rule for the cations at a ligand: they act by scattering "
        "beyond the first shell, and go with edge- or corner-sharing of the polyhedra.",
    ),
    "angle_spread": Rule(
        {}, "The literature knows no simple rule for the spread of all angles at the absorber."
    ),
}
"""By descriptor."""

VERDICTS = {
    "as known": "As the literature knows it:",
    "in part": "In part as the literature knows it:",
    "contrary": "Contrary to the literature:",
    "unclear": "The model shows no clear trend where the literature knows one:",
}


@dataclass(frozen=True, eq=False)
class Sweep:
    """Decoded spectra along one descriptor.

    Attributes
    ----------
    name, unit : str
    values : (v,) array
        Of the descriptor, as the maps give it.
    energy : (g,) array
        eV from the tabulated edge, from where simulation exists.
    curves : (v, g) array
        Flat.
    """

    name: str
    unit: str
    values: Floats
    energy: Floats
    curves: Floats


@dataclass(frozen=True)
class Trend:
    """What a sweep shows.

    Attributes
    ----------
    name : str
    changes, correlations : mapping
        By feature: its change from the sweep's first curve to its last, and its rho
        with the descriptor. Features that some curve does not show are left out.
    verdict : str
        ``as known``, ``contrary``, ``in part``, ``unclear`` or ``no rule``.
    sentence : str
    """

    name: str
    changes: Mapping[str, float]
    correlations: Mapping[str, float]
    verdict: str
    sentence: str


def sweep_all(model: Model, latents: Floats) -> tuple[Sweep, ...]:
    """Sweep every output of the card.

    Parameters
    ----------
    model : Model
    latents : (members, n, latent) array
        Of training spectra.
    """
    card = model.card
    rng = np.random.default_rng(0)
    drawn = latents[:, rng.choice(latents.shape[1], min(DRAWS, latents.shape[1]), replace=False)]
    grid = card.grid.relative()
    judged = grid >= card.domain.start
    found: list[Sweep] = []
    for output in card.outputs:
        at = np.quantile(latents[:, :, output.latent], np.linspace(0.05, 0.95, STEPS), axis=1)
        values = [apply_map(one, at[:, m]) for m, one in enumerate(output.maps)]
        curves = []
        for step in at:  # (members,)
            moved = drawn.copy()
            moved[:, :, output.latent] = step[:, None]
            curves.append(np.asarray(model.decode(moved), dtype=float).mean(axis=(0, 1)))
        found.append(
            Sweep(
                output.name,
                output.unit,
                np.mean(values, axis=0),
                grid[judged],
                np.stack(curves)[:, judged],
            )
        )
    return tuple(found)


def features(energy: Floats, curve: Floats) -> dict[str, float]:
    """Measure a flat curve; NaN for what it does not show.

    The edge is the last rise through half an edge step, so that a strong pre-edge is
    not taken for it. The pre-edge is the highest absorption more than 3 eV below the
    edge. The white line is the highest point within 20 eV above the edge, its width that
    at half its height above 1. The resonance is the highest point from 12 to 45 eV behind
    the white line that has lower neighbours.

    Parameters
    ----------
    energy : (g,) array
        Ascending, eV.
    curve : (g,) array
    """
    found = dict.fromkeys(FEATURES, float("nan"))
    rises = np.flatnonzero((curve[:-1] < 0.5) & (curve[1:] >= 0.5))
    if not rises.size:
        return found
    i = int(rises[-1])
    edge = _crossing(energy, curve, i, 0.5)
    found["edge"] = edge
    below = energy < edge - 3.0
    if below.sum() >= 3:
        found["pre_edge"] = float(curve[below].max())
    near = np.flatnonzero((energy >= edge) & (energy <= edge + 20.0))
    peak = int(near[np.argmax(curve[near])])
    found["white_line"] = float(curve[peak])
    half = (1.0 + curve[peak]) / 2.0
    left = [j for j in range(i, peak) if curve[j] < half <= curve[j + 1]]
    right = [j for j in range(peak, curve.size - 1) if curve[j] >= half > curve[j + 1]]
    if curve[peak] > 1.02 and left and right:
        found["white_line_width"] = _crossing(energy, curve, right[0], half) - _crossing(
            energy, curve, left[-1], half
        )
    inner = np.arange(1, curve.size - 1)
    behind = (energy[inner] >= energy[peak] + 12.0) & (energy[inner] <= energy[peak] + 45.0)
    tops = inner[behind & (curve[inner] > curve[inner - 1]) & (curve[inner] >= curve[inner + 1])]
    if tops.size:
        top = int(tops[np.argmax(curve[tops])])
        found["resonance"] = _vertex(energy, curve, top)
    return found


def _crossing(energy: Floats, curve: Floats, i: int, height: float) -> float:
    share = (height - curve[i]) / (curve[i + 1] - curve[i])
    return float(energy[i] + share * (energy[i + 1] - energy[i]))


def _vertex(energy: Floats, curve: Floats, i: int) -> float:
    """Return the position of a broad maximum, by the parabola through 4 eV on both sides."""
    near = np.abs(energy - energy[i]) <= 4.0
    bent, slope, _ = np.polyfit(energy[near] - energy[i], curve[near], 2)
    return float(energy[i] + (np.clip(-slope / (2.0 * bent), -4.0, 4.0) if bent < 0 else 0.0))


def judge_trend(swept: Sweep, moved: Mapping[str, float] | None = None) -> Trend:
    """Measure a sweep, and compare its trend with the literature.

    Parameters
    ----------
    swept : Sweep
    moved : mapping, optional
        eV that simulated energies were moved by before training, by valence: that part of
        a shift the data do not show, and it is named.
    """
    table = [features(swept.energy, curve) for curve in swept.curves]
    changes: dict[str, float] = {}
    correlations: dict[str, float] = {}
    for name in FEATURES:
        column = np.array([row[name] for row in table])
        if np.isfinite(column).all() and np.ptp(swept.values) > 0 and np.ptp(column) > 0:
            changes[name] = float(column[-1] - column[0])
            correlations[name] = float(np.asarray(spearmanr(swept.values, column))[0])
    rule = KNOWN[swept.name]
    verdict = _verdict(rule, changes, correlations)
    said = _measured(swept, rule, changes, correlations)
    if swept.name == "oxidation_state" and moved and "edge" in changes:
        levels = sorted((float(valence), by) for valence, by in moved.items())
        ends = swept.values[[0, -1]]
        first, last = np.interp(ends, [v for v, _ in levels], [by for _, by in levels])
        said += f"; {last - first:+.1f} eV of it were put in before training"
    closing = f"{VERDICTS[verdict]} {rule.note}." if rule.signs else rule.note
    return Trend(swept.name, changes, correlations, verdict, f"{said}. {closing}")


def _clear(name: str, changes: Mapping[str, float], correlations: Mapping[str, float]) -> bool:
    return (
        name in changes
        and abs(correlations[name]) >= CLEAR
        and abs(changes[name]) >= FEATURES[name].least
    )


def _verdict(rule: Rule, changes: Mapping[str, float], correlations: Mapping[str, float]) -> str:
    if not rule.signs:
        return "no rule"
    agree = [
        bool(np.sign(changes[name]) == sign)
        for name, sign in rule.signs.items()
        if _clear(name, changes, correlations)
    ]
    if not agree:
        return "unclear"
    if all(agree) and len(agree) == len(rule.signs):
        return "as known"
    return "in part" if any(agree) else "contrary"


def _measured(
    swept: Sweep, rule: Rule, changes: Mapping[str, float], correlations: Mapping[str, float]
) -> str:
    unit = "" if swept.unit in ("1", "e") else f" {swept.unit}"
    digits = 2 if swept.unit == "Å" else 1
    wanted = list(rule.signs) or [one for one in FEATURES if _clear(one, changes, correlations)]
    parts = [_part(name, changes, correlations) for name in wanted]
    span = f"From {swept.values[0]:.{digits}f} to {swept.values[-1]:.{digits}f}{unit}"
    return f"{span} {' and '.join(parts) if parts else 'nothing changes clearly'}"


def _part(name: str, changes: Mapping[str, float], correlations: Mapping[str, float]) -> str:
    feature = FEATURES[name]
    if name not in changes:
        return f"{feature.label} cannot be told, as not every curve shows it"
    digits = 1 if feature.unit == "eV" else 2
    steady = "" if abs(correlations[name]) >= CLEAR else ", not steadily"
    said = f"{changes[name]:+.{digits}f} {feature.unit}, ρ {correlations[name]:+.2f}{steady}"
    return f"{feature.label} {feature.verb} ({said})"
