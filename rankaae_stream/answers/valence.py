"""Say what a reader should know of a valence."""

from collections.abc import Sequence

from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.intervals import little_shown
from rankaae_stream.report import Estimate, Flag
from rankaae_stream.spectra import quality

__all__ = ["valence_at", "valence_flags"]


def valence_at(card: ModelCard) -> int | None:
    """Return which output of a model is the valence; None where none is."""
    names = [output.name for output in card.outputs]
    return names.index("oxidation_state") if "oxidation_state" in names else None


def valence_flags(card: ModelCard, estimates: Sequence[Estimate]) -> list[Flag | None]:
    """Return the flags of the valence, if the model estimates one."""
    at = valence_at(card)
    if at is None:
        return []
    state = estimates[at]
    flags = [quality.mixed_flag(state)]
    if card.own is not None:
        flags.append(quality.outside_standards_flag(state.value, card.own.range))
    level = little_shown(card.outputs[at], state.value)
    if level is not None:
        flags.append(quality.few_standards_flag(card.edge.element, level.value, level.compounds))
    return flags
