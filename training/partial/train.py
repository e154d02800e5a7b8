"""Train the partial networks of one element, each without a part of its measured compounds."""

# pyright: basic
# torch's state dictionaries have no types

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rankaae_stream.errors import Refused
from rankaae_stream.model.networks import Model
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.domain import spectra
from training.folders import DATA
from training.measured.standards import Standard
from training.network.train import related_rows, shown_rows
from training.partial.parts import GRID, MEASURED, PURE, SIMULATED, Source, draw
from training.partial.student import DEPTH, STEPS, WIDTH, Drawn, Student, empty, fit_member
from training.simulated import dataset

__all__ = ["FOLDS", "Trained", "fold_of", "train_element"]

RECIPE = 2
"""Raise by hand when the same model and data would train to other networks."""

FOLDS = 3
"""Parts that measured compounds are dealt to; each network is trained without one of them."""

CHUNK = 2000
"""Parts that are drawn at once."""

SHARES = {
    "own": (60_000, 128),
    "related": (20_000, 32),
    "others": (20_000, 24),
    "measured": (20_000, 40),
}
"""Parts drawn of each source, and how many of them are in a batch."""

WEIGHTS = {"oxidation_state": 1.0, "coordination_number": 0.3}
"""Of the outputs in the loss; the others have `LESS`."""

LESS = 0.15


@dataclass(frozen=True, eq=False)
class Trained:
    """The networks of one element, one a fold, and what they see as 0 and 1."""

    student: Student
    compounds: tuple[str, ...]

    def answer(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what all networks together say of prepared parts (n, 2 g): (n, 2, k)."""
        with torch.no_grad():
            return self.student(torch.from_numpy(inputs)).numpy()

    def without(self, compound: str) -> Student:
        """Return the network that has not seen a compound; all of them for one nobody saw."""
        if compound not in self.compounds:
            return self.student
        members = list(self.student.members)
        chosen = members[fold_of(compound, self.compounds)]
        centre, spread = (one.numpy() for one in (self.student.centre, self.student.spread))
        return Student([chosen], centre, spread).eval()  # type: ignore[list-item]


def fold_of(compound: str, compounds: tuple[str, ...]) -> int:
    """Return the fold that a measured compound is left out of."""
    return compounds.index(compound) % FOLDS


def train_element(
    config: Config,
    teacher: Model,
    standards: tuple[Standard, ...],
    runs: Path,
    data: Path = DATA,
) -> Trained:
    """Train, or take from `runs` what was trained before on the same.

    Parameters
    ----------
    config : Config
        Of the model that answers complete spectra.
    teacher : Model
    standards : tuple of Standard
        Measured files of the element in the repository.
    runs : Path
        Folder that finished networks are kept in.
    data : Path
    """
    used = [one for one in standards if one.role == "standard"]
    compounds = tuple(sorted({one.compound for one in used}))
    names = [output.name for output in teacher.card.outputs]
    weights = np.array([*(WEIGHTS.get(name, LESS) for name in names), *[LESS] * len(names), LESS])
    kept = runs / "partial" / f"{_fingerprint(teacher, compounds)}.pt"
    if kept.is_file():
        state = torch.load(io.BytesIO(kept.read_bytes()), weights_only=True)
        return Trained(_restored(state, weights.size), compounds)
    rng = np.random.default_rng(0)
    pools = _simulated(config, teacher, rng, data)
    centre = pools[0].wanted.mean(axis=0)
    spread = pools[0].wanted.std(axis=0) + 1e-3
    members: list[torch.nn.Sequential] = []
    for fold in range(FOLDS):
        seen = [one for one in used if fold_of(one.compound, compounds) != fold]
        known = _measured(seen, teacher, np.random.default_rng(fold + 1))
        members.append(fit_member([*pools, *known], weights, centre, spread, seed=fold))
    student = Student(members, centre, spread).eval()
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_suffix(".new")
    torch.save(student.state_dict(), fresh)
    os.replace(fresh, kept)
    return Trained(student, compounds)


def _restored(state: dict[str, torch.Tensor], outputs: int) -> Student:
    student = Student(
        [empty(2 * GRID.points, 2 * outputs) for _ in range(FOLDS)],
        np.zeros(outputs),
        np.ones(outputs),
    )
    student.load_state_dict(state)
    return student.eval()


def _simulated(config: Config, teacher: Model, rng: np.random.Generator, data: Path) -> list[Drawn]:
    """Draw parts of the element's own sites, of related ones, and of what is no oxide."""
    simulated, split = dataset.material(config.element, config.data, config.grid, data)
    own = shown_rows(simulated, split.train, config)
    found = [_pool("own", _evenly(simulated.energy, simulated.mu[own]), teacher, rng)]
    related = simulated.related
    if related is not None:
        rows = related_rows(simulated, split)
        found.append(_pool("related", _evenly(simulated.energy, related.mu[rows]), teacher, rng))
    others = spectra.others([config], data).flat
    source = Source(spectra.AXIS, others, np.full(len(others), 1.0 / len(others)), PURE)
    return [*found, _pool("others", source, teacher, rng)]


def _evenly(energy: Floats, mu: Floats) -> Source:
    return Source(energy, mu, np.full(len(mu), 1.0 / len(mu)), SIMULATED)


def _measured(used: list[Standard], teacher: Model, rng: np.random.Generator) -> list[Drawn]:
    """Draw parts of measured standards, every compound as often as another."""
    flat: list[Floats] = []
    likely: list[float] = []
    for one in used:
        try:
            energy, values = one.normalized()
        except Refused:
            continue
        flat.append(np.interp(spectra.AXIS, energy, values))
        likely.append(1.0 / sum(other.compound == one.compound for other in used))
    if not flat:
        return []
    share = np.array(likely) / sum(likely)
    return [_pool("measured", Source(spectra.AXIS, np.array(flat), share, MEASURED), teacher, rng)]


def _pool(name: str, source: Source, teacher: Model, rng: np.random.Generator) -> Drawn:
    size, count = SHARES[name]
    drawn = [draw(source, CHUNK, teacher, rng) for _ in range(size // CHUNK)]
    inputs: NDArray[np.float32] = np.concatenate([pair[0] for pair in drawn])
    return Drawn(inputs, np.concatenate([pair[1] for pair in drawn]), count)


def _fingerprint(teacher: Model, compounds: tuple[str, ...]) -> str:
    """Return what the networks depend on, as 16 hex digits."""
    settings = (RECIPE, FOLDS, WIDTH, DEPTH, STEPS, SHARES, WEIGHTS, LESS, GRID)
    files = sorted(teacher.card.files.items())
    outputs = [
        (one.name, [(m.latent.tolist(), m.value.tolist()) for m in one.maps])
        for one in teacher.card.outputs
    ]
    graphs = [pair for pair in files if pair[0] in ("encoder.onnx", "domain.onnx")]
    text = repr((settings, graphs, outputs, compounds, SIMULATED, MEASURED, PURE))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
