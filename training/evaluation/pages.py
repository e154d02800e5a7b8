"""Write the pages in Markdown: a model's report, and the page over all models.

Their prose is in `templates/`; here is what the templates may use.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from rankaae_stream.model.card import FEWEST_COMPOUNDS
from training.descriptors import DOUBT, FIRST_SHELL
from training.evaluation.aims import measured_standing, targets
from training.evaluation.disturbed import COPIES, JITTER, NOISE, SHARES, Disturbed, pooled
from training.evaluation.evaluate import ENOUGH, KINDS, Evaluation
from training.evaluation.on_measured import APART, ordered_pairs, refused_share, standing
from training.evaluation.on_simulated import CLASSES
from training.evaluation.splits import over_splits
from training.evaluation.sweeps import FEATURES
from training.evaluation.text import NOTHING, heading, number, percent, scatter
from training.measured import own_shift
from training.measured.pool import FALSE_ALARMS, near

__all__ = ["models_readme", "write_report"]


def _copies(models: Sequence[Evaluation], name: str) -> list[Disturbed]:
    return [one.disturbed[name] for one in models]


NAMES: dict[str, Any] = {
    "APART": APART,
    "APART_EV": own_shift.APART,
    "CLASSES": CLASSES,
    "COPIES": COPIES,
    "DOUBT": DOUBT,
    "ENOUGH": ENOUGH,
    "FALSE_ALARMS": FALSE_ALARMS,
    "FEATURES": FEATURES,
    "FEWEST_COMPOUNDS": FEWEST_COMPOUNDS,
    "FIRST_SHELL": FIRST_SHELL,
    "JITTER": JITTER,
    "KINDS": KINDS,
    "NOISE": NOISE,
    "SHARES": SHARES,
    "apart": own_shift.apart,
    "copies": _copies,
    "nan": np.nan,
    "near": near,
    "ordered_pairs": ordered_pairs,
    "over_splits": over_splits,
    "refused_share": refused_share,
    "standing": standing,
    "measured_standing": measured_standing,
    "pooled": pooled,
    "targets": targets,
    "zip": zip,
}
"""What the templates may name besides what they are given."""


def write_report(found: Evaluation) -> str:
    """Return the report of one model; its pictures are `report.png` and `sweeps.png` beside it."""
    return _render("report.md.j2", found=found)


def models_readme(
    found: Sequence[Evaluation], domain: Mapping[str, Any], partial: Mapping[str, Any]
) -> str:
    """Return the page over all models: how to read it, the tables, and every aim.

    `domain` is the card of the classifier, see `training.domain.build`; `partial` what was
    found of parts of spectra, see `training.partial.build`, or empty.
    """
    return _render("models.md.j2", models=found, domain=domain, partial=partial)


def _render(template: str, **given: object) -> str:
    templates = Environment(
        loader=PackageLoader("training.evaluation"),
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    templates.filters.update(
        cell=_cell, heading=heading, number=number, percent=percent, scatter=scatter, spread=_spread
    )
    return templates.get_template(template).render(
        **NAMES, partial_parts=_partial_parts, partial_lines=_partial_lines, **given
    )


def _partial_parts(partial: Mapping[str, Any]) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Return the sets of compounds that parts were judged on, and a line for each case."""
    named = (("standards", "measured"), ("elsewhere", "elsewhere"), ("simulated", "simulated"))
    return [(name, partial[key]) for name, key in named if partial.get(key)]


def _partial_lines(partial: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], ...]]:
    """Return the cases, each with its lines of all sets."""
    return list(zip(*(lines for _, lines in _partial_parts(partial)), strict=True))


def _cell(text: str) -> str:
    """Return a text that cannot end a table's cell."""
    return text.replace("|", "\\|")


def _spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean of several networks' figures and their range."""
    each = list(values)
    if not np.isfinite(each).all():
        return NOTHING
    middle = f"{np.mean(each):.{digits}f}"
    return middle if len(each) == 1 else f"{middle} ({min(each):.{digits}f}–{max(each):.{digits}f})"
