"""Draw parts of spectra with a background, as growing and short scans see them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.model.domain import edge_aligned
from rankaae_stream.model.estimates import describe_many
from rankaae_stream.model.networks import Model
from rankaae_stream.spectra.partial import ABOVE, BELOW, prepared
from rankaae_stream.spectrum import EnergyGrid, Floats
from training.config import Augment
from training.simulated.augment import augment

__all__ = ["GRID", "MEASURED", "PURE", "SIMULATED", "Source", "complete_answers", "draw"]

GRID = EnergyGrid(-50.0, 60.0, 221)
"""Energies that the network sees, eV from the tabulated edge."""

SIMULATED = Augment(
    shift=0.5,
    noise=0.02,
    height=0.0,
    slope=0.0,
    curvature=0.0,
    pre_edge=0.0,
    post_edge=0.0,
    short_share=0.0,
    gap_share=0.0,
)
"""Copies of simulated spectra: resolution, noise, over-absorption, mixtures. Backgrounds come
after, and no copy is normalised."""

MEASURED = SIMULATED.model_copy(
    update={
        "shift": 0.4,
        "broadening": (0.01, 1.0),
        "core_hole": (0.0, 0.0),
        "over_absorption": 0.1,
    }
)
"""Copies of measured spectra, which have a resolution of their own."""

PURE = SIMULATED.model_copy(update={"mixture_share": 0.0})
"""Copies of what is no oxide: it is not mixed."""

BACKGROUND = 0.3
"""Standard deviation of the background's slope, edge steps per 50 eV."""

BEND = 0.05
"""Standard deviation of what the post-edge rises or falls beyond the background, per 50 eV."""

FALLING = 0.15
"""Share of parts that have the whole post-edge and end near the edge, as a falling scan does."""


@dataclass(frozen=True, eq=False)
class Source:
    """Flat spectra that are copied alike: `flat` (n, f) on `energy`, and how likely each is."""

    energy: Floats
    flat: Floats
    likely: Floats
    settings: Augment


def draw(
    source: Source, count: int, teacher: Model, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Floats]:
    """Draw parts of augmented copies, with what the complete spectra are answered.

    Parameters
    ----------
    source : Source
    count : int
    teacher : Model
        Answers the complete copies.
    rng : numpy.random.Generator

    Returns
    -------
    inputs : (count, 2 g) array
        See `rankaae_stream.spectra.partial.prepared`.
    wanted : (count, 2 k + 1) array
        See `complete_answers`.
    """
    rows = rng.choice(len(source.flat), count, p=source.likely)
    relative = GRID.relative()
    nothing = np.zeros((count, 2))
    flat = augment(
        source.energy,
        source.flat[rows],
        np.full(count, source.energy[0]),
        nothing,
        relative,
        source.settings,
        rng,
    ).flat.astype(float)
    wanted = complete_answers(teacher, flat)
    above = np.maximum(relative, 0.0) / 50.0
    bent = flat * (1.0 + rng.normal(0.0, BEND, count)[:, None] * above)
    raw = bent + rng.normal(0.0, BACKGROUND, count)[:, None] * relative / 50.0
    low, high = _windows(count, rng)
    seen = (relative >= low[:, None]) & (relative <= high[:, None])
    return prepared(raw, seen, relative).astype(np.float32), wanted


def complete_answers(teacher: Model, flat: Floats) -> Floats:
    """Return what a model says of complete flat spectra on `GRID`.

    Returns
    -------
    (n, 2 k + 1) array
        The estimates in the order of the card's outputs, the logarithms of the model's own
        half-widths, and that of the odds that the spectrum is of no oxide, within -6 and 6.
    """
    card = teacher.card
    grid, relative = card.grid.relative(), GRID.relative()
    wanted = grid - card.theory_shift.value
    rows: list[Floats] = [np.interp(wanted, relative, row) for row in flat]
    moved = np.stack(rows)
    values, halves = describe_many(teacher.encode(moved).astype(np.float64), card)
    logits = teacher.judge(edge_aligned(grid, moved, card.domain.aligned)).astype(np.float64)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    oxide = share[:, 0] / share.sum(axis=1)
    odds = np.log((1.0 - oxide + 1e-3) / (oxide + 1e-3))
    return np.column_stack([values, np.log(halves), np.clip(odds, -6.0, 6.0)])


def _windows(count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw from where to where parts are seen, eV: most end soon after the edge."""
    chance = rng.random(count)
    high = np.where(
        chance < 0.6,
        rng.uniform(ABOVE - 2.0, 28.0, count),
        np.where(chance < 0.9, rng.uniform(ABOVE, 62.0, count), 62.0),
    )
    chance = rng.random(count)
    low = np.where(
        chance < 0.65,
        rng.uniform(-60.0, -40.0, count),
        np.where(chance < 0.85, rng.uniform(-40.0, -12.0, count), rng.uniform(-12.0, BELOW, count)),
    )
    falling = rng.random(count) < FALLING
    low = np.where(falling, rng.uniform(-28.0, BELOW, count), low)
    return low, np.where(falling, 62.0, high)
