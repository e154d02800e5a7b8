"""Score a model on simulated compounds, as plain data.

The model is the one that the runtime loads, or one that `training.build` has not written
yet. Figures come for all spectra of a part of the split and for
its native sites, which nobody rattled, strained or substituted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.estimates import describe_many
from rankaae_stream.model.intervals import calibrated
from rankaae_stream.model.networks import Model
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.network.train import labels_of
from training.simulated.augment import augment
from training.simulated.dataset import Simulated
from training.trials.select import clean_spectra, free_correlation, rank_correlation

__all__ = [
    "CLASSES",
    "DescriptorScores",
    "SimulatedScores",
    "StylePair",
    "classes",
    "confusion",
    "covered",
    "r2_score",
    "reconstruction_error",
    "score_simulated",
    "style_pairs",
    "weighted_f1",
]

CLASSES = ("4 or fewer", "5", "6 or more")
"""Of the coordination number: 4, 5 and 6 dominate, others join their neighbour."""

THRESHOLDS = (4.5, 5.5)
"""Between the classes. Fitted to two dozen compounds they wandered, and F1 fell."""


@dataclass(frozen=True)
class DescriptorScores:
    """Figures of one descriptor over the spectra whose label is known.

    Attributes
    ----------
    spectra : int
    spearman_score, r2_score, mean_absolute_error_loss : float
        Of the published estimate, at ordinary resolution.
    coverage, width : float
        Share of intervals that hold the truth, and their median full width.
    augmented_coverage, augmented_width : float
        The same for copies that went through a beamline's imperfections, but not
        through an energy shift: its part of an interval is added at the runtime.
    """

    spectra: int
    spearman_score: float
    r2_score: float
    mean_absolute_error_loss: float
    coverage: float
    width: float
    augmented_coverage: float
    augmented_width: float


@dataclass(frozen=True)
class StylePair:
    """|rho| of two tied latents, mean over members, beside that of their descriptors."""

    first: str
    second: str
    latents: float
    descriptors: float


@dataclass(frozen=True)
class SimulatedScores:
    """Figures of one part of the split.

    Attributes
    ----------
    spectra : int
    descriptors : mapping
        By name.
    confusion : 3 rows of 3 int, or None
        Rows are true classes, columns estimated ones.
    f1_score : float
        Of `confusion`, weighted by the true classes' sizes; NaN without it.
    ambiguous : int
        Spectra whose coordination number depends on where the first shell is drawn.
    clear_f1_score, ambiguous_f1_score : float
        Without those, and of those alone.
    reconstruction_mean_absolute_error_loss, reconstruction_spread : float
        Mean and standard deviation over spectra, where simulation exists.
    pairs : tuple of StylePair
        All pairs of tied dimensions.
    free_correlation_loss : float
        Largest |rho| of a free dimension with any other, mean over members.
    """

    spectra: int
    descriptors: Mapping[str, DescriptorScores]
    confusion: tuple[tuple[int, ...], ...] | None
    f1_score: float
    ambiguous: int
    clear_f1_score: float
    ambiguous_f1_score: float
    reconstruction_mean_absolute_error_loss: float
    reconstruction_spread: float
    pairs: tuple[StylePair, ...]
    free_correlation_loss: float

    @property
    def tightest(self) -> StylePair | None:
        """The pair of tied latents with the largest correlation."""
        return max(self.pairs, key=lambda pair: pair.latents, default=None)


def score_simulated(
    model: Model,
    config: Config,
    simulated: Simulated,
    rows: NDArray[np.intp],
) -> SimulatedScores:
    """Score a model on rows that it did not learn from.

    Parameters
    ----------
    model : Model
    config : Config
        What it was trained with.
    simulated : Simulated
    rows : (n,) array
    """
    card = model.card
    labels = labels_of(config, simulated, rows)
    flat = clean_spectra(config, simulated, rows)
    latents = np.asarray(model.encode(flat), dtype=float)
    output = np.asarray(model.decode(latents), dtype=float).mean(axis=0)
    values, halves = _published(latents, card)
    seen, answers, answer_halves = _copies(model, config, simulated, rows)

    described: dict[str, DescriptorScores] = {}
    for k, one in enumerate(card.outputs):
        known = np.isfinite(labels[:, k])
        held, width = covered(values[:, k], halves[:, k], labels[:, k], one.range)
        seen_held, seen_width = covered(answers[:, k], answer_halves[:, k], seen[:, k], one.range)
        described[one.name] = DescriptorScores(
            spectra=int(known.sum()),
            spearman_score=rank_correlation(values[:, k], labels[:, k]),
            r2_score=r2_score(values[:, k], labels[:, k]),
            mean_absolute_error_loss=_mean(np.abs(values[known, k] - labels[known, k])),
            coverage=held,
            width=width,
            augmented_coverage=seen_held,
            augmented_width=seen_width,
        )
    names = [one.name for one in card.outputs]
    matrix, doubtful = None, simulated.ambiguous[rows]
    scores = (float("nan"),) * 3
    if "coordination_number" in names:
        k = names.index("coordination_number")
        known = np.isfinite(labels[:, k])
        told, truth = classes(values[:, k]), classes(labels[:, k])
        matrix = confusion(truth[known], told[known])
        kinds = (known, known & ~doubtful, known & doubtful)
        scores = tuple(weighted_f1(confusion(truth[one], told[one])) for one in kinds)
    grid = card.grid.relative()
    errors = reconstruction_error(output, flat, grid >= simulated.first[rows][:, None])
    return SimulatedScores(
        spectra=int(rows.size),
        descriptors=described,
        confusion=None if matrix is None else tuple(tuple(map(int, row)) for row in matrix),
        f1_score=scores[0],
        ambiguous=int(doubtful.sum()),
        clear_f1_score=scores[1],
        ambiguous_f1_score=scores[2],
        reconstruction_mean_absolute_error_loss=_mean(errors),
        reconstruction_spread=float(np.std(errors)) if errors.size else float("nan"),
        pairs=style_pairs(latents, labels, names),
        free_correlation_loss=_mean(
            np.array([free_correlation(member, len(names)) for member in latents])
        ),
    )


def r2_score(values: Floats, truth: Floats) -> float:
    """Return the share of the truth's variance that the estimates explain; NaN where it has none.

    Below 0 where the truth's own mean would do better. No curve is fitted here: the
    calibrated estimate is judged as it is.
    """
    known = np.isfinite(truth) & np.isfinite(values)
    if known.sum() < 2 or np.ptp(truth[known]) == 0:
        return float("nan")
    left = np.sum((values[known] - truth[known]) ** 2)
    return float(1.0 - left / np.sum((truth[known] - truth[known].mean()) ** 2))


def covered(
    values: Floats, halves: Floats, truth: Floats, reach: tuple[float, float]
) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, and their median full width.

    Parameters
    ----------
    values, halves, truth : (n,) arrays
        Rows of unknown truth are left out.
    reach : (low, high)
        What the descriptor can be; intervals are cut there, as published ones are.
    """
    known = np.isfinite(truth)
    if not known.any():
        return float("nan"), float("nan")
    low = np.maximum(values - halves, reach[0])[known]
    high = np.minimum(values + halves, reach[1])[known]
    # A rounding error at an interval's end is no miss.
    held = (truth[known] >= low - 1e-9) & (truth[known] <= high + 1e-9)
    return float(held.mean()), float(np.median(high - low))


def classes(coordination: Floats) -> NDArray[np.intp]:
    """Return the position in `CLASSES` of each coordination number, true or estimated."""
    return np.digitize(coordination, THRESHOLDS)


def confusion(truth: NDArray[np.intp], estimate: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count spectra by (true class, estimated class)."""
    size = len(CLASSES)
    return np.bincount(truth * size + estimate, minlength=size * size).reshape(size, size)


def weighted_f1(matrix: NDArray[np.intp]) -> float:
    """Return the mean F1 of the classes, weighted by how many truly belong to each; NaN of none.

    Examples
    --------
    >>> weighted_f1(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 4]]))
    0.9285714285714286
    """
    right, true, found = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    f1 = 2.0 * right / np.maximum(true + found, 1)
    return float(np.sum(f1 * true) / true.sum()) if true.any() else float("nan")


def reconstruction_error(output: Floats, flat: Floats, judged: NDArray[np.bool_]) -> Floats:
    """Return the mean absolute error of each spectrum (n, g) over its judged points, (n,)."""
    return (np.abs(output - flat) * judged).sum(axis=1) / judged.sum(axis=1)


def style_pairs(latents: Floats, labels: Floats, names: list[str]) -> tuple[StylePair, ...]:
    """Return |rho| of every pair of tied dimensions, over the spectra that have both labels.

    Parameters
    ----------
    latents : (members, n, latent) array
        The tied ones first, in the order of the labels.
    labels : (n, k) array
    names : list of k str
    """
    found: list[StylePair] = []
    for i, j in combinations(range(labels.shape[1]), 2):
        both = np.isfinite(labels[:, i]) & np.isfinite(labels[:, j])
        each = [abs(rank_correlation(one[both, i], one[both, j])) for one in latents]
        own = abs(rank_correlation(labels[both, i], labels[both, j]))
        found.append(StylePair(names[i], names[j], float(np.mean(each)), own))
    return tuple(found)


def _copies(
    model: Model, config: Config, simulated: Simulated, rows: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats]:
    """Return labels, estimates and half-widths of augmented copies, neither shifted nor mixed."""
    rows = np.repeat(rows, config.calibration.copies)
    labels = labels_of(config, simulated, rows)
    seen = augment(
        simulated.energy,
        simulated.mu[rows],
        simulated.first[rows],
        labels,
        config.grid.energy_grid().relative(),
        config.augment.model_copy(update={"shift": 0.0, "mixture_share": 0.0}),
        np.random.default_rng(config.data.split_seed + 2),
    )
    latents = np.asarray(model.encode(seen.flat), dtype=float)
    return labels, *_published(latents, model.card)


def _published(latents: Floats, card: ModelCard) -> tuple[Floats, Floats]:
    """Return estimates and half-widths (n, k) as published of spectra on an exact energy axis."""
    values, halves = describe_many(latents, card)
    columns = [
        calibrated(output.calibration, halves[:, k]) for k, output in enumerate(card.outputs)
    ]
    return values, np.stack(columns, axis=1)


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if values.size else float("nan")
