"""Evaluate one model in every respect, on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.estimates import describe_many
from rankaae_stream.model.networks import Model
from rankaae_stream.spectrum import Floats
from training.config import Config
from training.evaluation import on_measured, on_simulated, sweeps
from training.evaluation.detection import Detection, score_detection
from training.evaluation.disturbed import Disturbed, disturb, mix
from training.evaluation.mixtures import FoilMixtures, Mixtures, mix_end_members, mix_foil
from training.evaluation.on_simulated import SimulatedScores
from training.evaluation.sweeps import Sweep, Trend
from training.measured.own_shift import Laid, lay_on_classes
from training.measured.shown import Shown
from training.measured.standards import Standard
from training.network.train import labels_of
from training.simulated.dataset import Simulated, Split
from training.trials.select import TrialScore, clean_spectra

__all__ = ["ENOUGH", "KINDS", "Evaluation", "evaluate_model"]

ENOUGH = 30
"""Native sites from which on figures are stated for these; below it for all spectra."""

KINDS = {
    "foil": "foils",
    "other": "sulfides, nitrides, carbides",
    "suspect": "doubtful samples",
}
"""Spectra that are no good oxides of the element; no target counts the last."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures of one model.

    Attributes
    ----------
    key : str
        ``<edge>/<version>``.
    card : ModelCard
    config : Config
        What it was trained with.
    simulated : mapping
        Part of the split to kind (``all``, ``native``) to scores; a kind of fewer than
        two spectra is left out.
    valences : pair of (n,) arrays
        True and estimated, of the test part.
    compounds, suspects : tuple of Compound
    shifts : mapping
        Compound to formal valence and the shift, beyond the configured ones, that lays it
        on its own structure, eV; in the order of the valence.
    classes : tuple of Laid
        Compounds of the repository on all sites of their class, in the order of the valence.
    trials : tuple of TrialScore
        Of every network that was trained, on validation.
    shown : tuple of Shown
        Every measured compound of the element, those whose spectra are elsewhere too.
    disturbed : mapping
        By name of the disturbance, see `training.evaluation.disturbed`.
    mixed : Disturbed
        Linear mixtures of any two measured compounds.
    inside : tuple of float
        Distances of good measured oxides, by compound.
    detections : mapping
        By key of `KINDS`.
    mixtures : Mixtures or None
    foil_mixtures : FoilMixtures
    sweeps : tuple of Sweep
    trends : tuple of Trend
    learning, splits : mapping or None
        What `learning_curve.learn` and `splits.judge_splits` found of this edge.
    """

    key: str
    card: ModelCard
    config: Config
    simulated: Mapping[str, Mapping[str, SimulatedScores]]
    valences: tuple[Floats, Floats]
    compounds: tuple[on_measured.Compound, ...]
    suspects: tuple[on_measured.Compound, ...]
    shifts: Mapping[str, tuple[float, float]]
    classes: tuple[Laid, ...]
    trials: tuple[TrialScore, ...]
    shown: tuple[Shown, ...]
    disturbed: Mapping[str, Disturbed]
    mixed: Disturbed
    inside: tuple[float, ...]
    detections: Mapping[str, Detection]
    mixtures: Mixtures | None
    foil_mixtures: FoilMixtures
    sweeps: tuple[Sweep, ...]
    trends: tuple[Trend, ...]
    learning: Mapping[str, Any] | None
    splits: Mapping[str, Any] | None

    @property
    def stated(self) -> tuple[str, SimulatedScores]:
        """Kind and scores of the test part that are stated: native where there are enough."""
        test = self.simulated["test"]
        native = test.get("native")
        if native is not None and native.spectra >= ENOUGH:
            return "native", native
        return "all", test["all"]


def evaluate_model(
    key: str,
    model: Model,
    config: Config,
    simulated: Simulated,
    split: Split,
    standards: Sequence[Standard],
    built: Mapping[str, Any],
    learning: Mapping[str, Any] | None = None,
    splits: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate a model on simulated and measured compounds, mixtures and sweeps.

    Parameters
    ----------
    key : str
    model : Model
    config : Config
    simulated : Simulated
    split : Split
    standards : sequence of Standard
        Of the model's element.
    built : mapping
        The model's evaluation.json: what its measured compounds showed when it was built.
    learning, splits : mapping, optional
        What `learning_curve.learn` and `splits.judge_splits` found of this edge, if they were run.
    """
    card = model.card
    parts: dict[str, dict[str, SimulatedScores]] = {}
    for part, rows in (("validation", split.validation), ("test", split.test)):
        kinds = {"all": rows, "native": rows[simulated.native[rows]]}
        parts[part] = {
            kind: on_simulated.score_simulated(model, config, simulated, chosen)
            for kind, chosen in kinds.items()
            if chosen.size >= 2
        }

    readings = on_measured.read_standards(model, standards)
    left_out = built["standards"]
    compounds = on_measured.by_compound(readings, "standard", left_out)
    inside = tuple(one.distance for one in compounds if np.isfinite(one.distance))
    roles = {
        role: [one for one in readings if one.standard.role == role]
        for role in ("foil", "other", "suspect")
    }
    metals = {role: [one.metal for one in same] for role, same in roles.items()}
    found = {role: [one.distance for one in same] for role, same in roles.items()}

    latents = np.asarray(model.encode(clean_spectra(config, simulated, split.train)), dtype=float)
    swept = sweeps.sweep_all(model, latents)
    return Evaluation(
        key=key,
        card=card,
        config=config,
        simulated=parts,
        valences=_valences(model, config, simulated, split.test),
        compounds=compounds,
        suspects=on_measured.by_compound(readings, "suspect", {}),
        shifts={
            name: (one["oxidation_state"], one["own_shift"])
            for name, one in sorted(
                ((name, one) for name, one in left_out.items() if one["own_shift"] is not None),
                key=lambda item: (item[1]["oxidation_state"], item[0]),
            )
        },
        classes=tuple(
            sorted(
                lay_on_classes(simulated, [one for one in standards if one.role == "standard"]),
                key=lambda one: (one.oxidation_state, one.compound),
            )
        ),
        trials=tuple(TrialScore(**row) for row in built["trials"]),
        shown=tuple(Shown(**row) for row in built["compounds"]),
        disturbed=disturb(model, standards),
        mixed=mix(model, standards),
        inside=inside,
        detections={
            kind: score_detection(
                kind, found[kind], inside, card.domain.threshold, metals.get(kind, ())
            )
            for kind in KINDS
        },
        mixtures=mix_end_members(model, readings),
        foil_mixtures=mix_foil(model, readings),
        sweeps=swept,
        trends=tuple(sweeps.judge_trend(one, card.theory_shift.moved) for one in swept),
        learning=learning,
        splits=splits,
    )


def _valences(
    model: Model, config: Config, simulated: Simulated, rows: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    k = [one.name for one in model.card.outputs].index("oxidation_state")
    latents = np.asarray(model.encode(clean_spectra(config, simulated, rows)), dtype=float)
    return labels_of(config, simulated)[rows, k], describe_many(latents, model.card)[0][:, k]
