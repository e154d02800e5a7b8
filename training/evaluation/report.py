"""The report of one model, in Markdown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.evaluate import ENOUGH, KINDS, Evaluation
from training.evaluation.markdown import NOTHING, as_table, heading, number, percent
from training.evaluation.on_measured import APART, Compound, ordered_pairs, standing
from training.evaluation.on_simulated import CLASSES, SimulatedScores
from training.evaluation.sweeps import FEATURES
from training.measured.pool import FALSE_ALARMS

__all__ = ["write_report"]


def write_report(found: Evaluation) -> str:
    """The report of one model; its pictures are `report.png` and `sweeps.png` beside it."""
    card = found.card
    kind, stated = found.stated
    chosen = "native, unrattled sites" if kind == "native" else "all spectra"
    parts = [
        f"# {card.name} {card.version}",
        f"Written by `python -m training evaluate {found.key}` from the exported files "
        f"(card {card.id[:12]}); [models/README.md](../../README.md) says what the words mean.",
        f"{card.edge} edge, {card.members} networks, trained on "
        f"{_count(found, 'train')} simulated spectra{_related(found)}. Theory shift "
        f"{card.theory_shift.value:+.2f} ± {card.theory_shift.uncertainty:.2f} eV. Stated are the "
        f"figures of {chosen} of the test part ({stated.spectra}).",
        "![how good it is](report.png)",
        "## Simulated compounds that no network saw",
        *[
            _simulated(f"{part}, {_kind(name)}: {one.spectra} spectra", one)
            for part in ("test", "validation")
            for name, one in found.simulated[part].items()
        ],
        _few(found),
        "## Coordination number",
        _coordination(stated),
        "## How the dimensions hang together",
        _pairs(stated),
        "## Measured compounds",
        _measured(found.compounds, found),
        *([_suspects(found)] if found.suspects else []),
        "## Theory shift",
        _shifts(found),
        "## Out of domain",
        _detection(found),
        "## Mixtures",
        _mixtures(found),
        "## What each descriptor does to a spectrum",
        "![decoded spectra along every descriptor](sweeps.png)",
        _trends(found),
        "## Learning curve",
        _learning(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shifts(found: Evaluation) -> str:
    """Each compound's own best shift, and what its trend says of the chemical shifts."""
    fit = found.card.theory_shift
    valence = "–" if fit.by_valence is None else f"{fit.by_valence:+.2f} eV"
    parts = [
        f"{fit.value:+.2f} ± {fit.uncertainty:.2f} eV is added to measured energies: the residual "
        f"alone asks for {fit.by_residual:+.2f} eV, the valence error for {valence}. Simulated "
        f"energies were moved by {fit.compression:+g} eV a unit of valence before training."
    ]
    if found.shifts:
        rows = sorted(found.shifts.items(), key=lambda item: (item[1][0], item[0]))
        parts.append(
            as_table(
                ("compound", "valence", "its own best shift (eV)"),
                [(name, f"{state:.2f}", f"{shift:+.2f}") for name, (state, shift) in rows],
            )
        )
        states, shifts = np.array([values for _, values in rows]).T
        if np.unique(states).size > 1:
            slope = float(np.polyfit(np.array(states), np.array(shifts), 1)[0])
            parts.append(
                f"Along the valence it changes by {slope:+.2f} eV a unit beyond what was put in: "
                "where the simulation compresses chemical shifts this is negative."
            )
    if found.card.raw.get("constants"):
        named = ", ".join(
            f"{one['compound']} ({one['shift']:+.2f} eV)" for one in found.card.raw["constants"]
        )
        parts.append(f"Of spectra that may not be shipped, as committed constants: {named}.")
    return "\n\n".join(parts)


def _simulated(title: str, scores: SimulatedScores) -> str:
    rows = [
        (
            heading(name),
            str(one.spectra),
            number(one.spearman_score),
            number(one.r2_score),
            number(one.mean_absolute_error_loss, 3),
            percent(one.coverage),
            number(one.width),
            percent(one.augmented_coverage),
            number(one.augmented_width),
        )
        for name, one in scores.descriptors.items()
    ]
    table = as_table(
        (
            "descriptor",
            "known",
            "ρ",
            "R²",
            "MAE",
            "intervals hold",
            "width",
            "hold, as measured",
            "width, as measured",
        ),
        rows,
    )
    return (
        f"**{title[0].upper()}{title[1:]}.** Weighted F1 of the coordination "
        f"{number(scores.f1_score)}; reconstruction MAE "
        f"{number(scores.reconstruction_mean_absolute_error_loss, 4)} ± "
        f"{number(scores.reconstruction_spread, 4)} per spectrum.\n\n{table}"
    )


def _few(found: Evaluation) -> str:
    native = found.simulated["test"].get("native")
    count = 0 if native is None else native.spectra
    said = (
        "Augmented copies went through noise, broadening, normalisation errors and gaps, so "
        "their intervals are judged *as measured*, on an exact axis."
    )
    if count >= ENOUGH:
        return said
    return f"{said} Only {count} native sites lie in the test part: take their figures as a hint."


def _coordination(scores: SimulatedScores) -> str:
    if scores.confusion is None or scores.thresholds is None:
        return "The coordination number is no output of this model."
    rows = [
        (f"**{name}**", *map(str, row)) for name, row in zip(CLASSES, scores.confusion, strict=True)
    ]
    low, high = scores.thresholds
    return (
        f"Thresholds {low:.2f} and {high:.2f} on the estimate, fitted on validation. Rows are "
        f"true, columns estimated; weighted F1 {scores.f1_score:.3f}.\n\n"
        + as_table(("", *CLASSES), rows)
    )


def _pairs(scores: SimulatedScores) -> str:
    rows = [
        (
            f"{heading(one.first)}, {heading(one.second)}",
            number(one.latents),
            number(one.descriptors),
        )
        for one in sorted(scores.pairs, key=lambda one: -one.latents)
    ]
    return (
        "|ρ| of two tied dimensions, mean over the networks, beside that of their descriptors "
        "in the same compounds: what exceeds it is entanglement. The free dimension's largest "
        f"|ρ| with any other is {number(scores.free_correlation_loss)}.\n\n"
        + as_table(("pair", "dimensions", "descriptors"), rows)
    )


def _measured(compounds: Sequence[Compound], found: Evaluation) -> str:
    if not compounds:
        return "No measured oxide of this element may be shipped: nothing here was shown on one."
    names = [one.name for one in found.card.outputs]
    rows = [
        (
            one.name,
            str(one.files),
            *(_judged(one, name) for name in names),
            number(one.distance),
            _state(one),
        )
        for one in compounds
    ]
    right, pairs = ordered_pairs(compounds)
    evidence = {one.name: one.evidence for one in found.card.outputs}
    figures = [
        (
            heading(name),
            str(state.compounds),
            number(state.mean_absolute_error_loss),
            number(state.spearman_score),
            f"{state.hits} of {state.compounds}",
            number(state.width),
            evidence[name],
        )
        for name in names
        for state in [standing(compounds, name)]
    ]
    alone = sum(not one.left_out for one in compounds)
    left = "The valence is that with the compound left out of theory shift and valence line, "
    left += "within an interval of the published width"
    left += f", but for {alone} that could not be left out. " if alone else ". "
    return (
        "Each compound is the mean of its files; true values are the formal valence and the "
        f"site average of its crystal structure, estimates stand behind the arrow. {left}"
        "! marks an interval that misses.\n\n"
        + as_table(("compound", "files", *map(heading, names), "distance", ""), rows)
        + f"\n\n{right} of {pairs} pairs at least {APART} apart come in the right order.\n\n"
        + as_table(
            ("descriptor", "compounds", "MAE", "ρ", "intervals hold", "median width", "evidence"),
            figures,
        )
    )


def _judged(one: Compound, name: str) -> str:
    if name not in one.descriptors:
        return NOTHING
    found = one.descriptors[name]
    return f"{found.truth:.2f} → {found.estimate:.2f}{'' if found.hit else ' **!**'}"


def _state(one: Compound) -> str:
    said: list[str] = []
    if one.refused:
        said.append(f"{one.refused} of {one.files} refused")
    if one.flagged:
        said.append(f"{one.flagged} of {one.files} flagged")
    return ", ".join(said)


def _suspects(found: Evaluation) -> str:
    names = [one.name for one in found.card.outputs]
    rows = [
        (
            one.name,
            str(one.files),
            *(_judged(one, name) for name in names),
            number(one.distance),
            _state(one),
        )
        for one in found.suspects
    ]
    return (
        "Samples whose label is doubtful; they were never fitted and count nowhere.\n\n"
        + as_table(("sample", "files", *map(heading, names), "distance", ""), rows)
    )


def _detection(found: Evaluation) -> str:
    rows = [
        (
            KINDS[kind],
            str(one.files),
            percent(one.at_card),
            percent(one.at_false_alarms),
            number(one.auroc_score),
        )
        for kind, one in found.detections.items()
        if one.files
    ]
    told = [one for one in found.detections["foil"].metals if one is not None]
    own = "The library's own foil counts by its distance, though a scan of it is recognised. "
    if told:
        own = (
            f"Of the other foils {sum(told)} of {len(told)} are recognised by the library's. {own}"
        )
    alarms = [one > found.card.domain.threshold for one in found.inside]
    good = f"{sum(alarms)} of {len(alarms)} good measured oxides lie beyond it"
    return (
        f"{own}The card's threshold is {found.card.domain.threshold:.2f}; {good}. The other "
        f"threshold is the one that {FALSE_ALARMS:.0%} of these exceed. Oxides of another element "
        "had their edge laid on this one: their energies tell them apart, not their shape, so no "
        "rate is asked for.\n\n"
        + as_table(
            ("spectra", "files", "flagged", f"at {FALSE_ALARMS:.0%} false alarms", "AUROC"), rows
        )
    )


def _mixtures(found: Evaluation) -> str:
    said: list[str] = []
    mixed = found.mixtures
    if mixed is not None:
        said.append(
            f"{mixed.low} with {mixed.high} in steps of a tenth, {mixed.pairs} pairs of files: "
            f"{mixed.monotone:.0%} monotone; largest deviation from the line between the "
            f"model's own end members {mixed.worst:.2f}, median {mixed.deviation:.2f}."
        )
    metal = found.foil_mixtures
    if metal.flagged:
        shares = zip(metal.shares, metal.flagged, strict=True)
        said.append(
            f"Metal mixed into every measured oxide ({metal.pairs} pairs) is flagged: "
            + ", ".join(f"{share:.0%} metal in {rate:.0%}" for share, rate in shares)
            + "."
        )
    return "\n\n".join(said) or "No measured end members of this element are at hand."


def _trends(found: Evaluation) -> str:
    lines = [f"- **{heading(one.name)}.** {one.sentence}" for one in found.trends]
    shown = [name for name in FEATURES if any(name in one.changes for one in found.trends)]
    rows = [
        (heading(one.name), *(_change(one.changes, one.correlations, name) for name in shown))
        for one in found.trends
    ]
    return (
        "\n".join(lines)
        + "\n\nChange along each sweep, and its ρ with the descriptor:\n\n"
        + as_table(
            ("descriptor", *(f"{FEATURES[name].label} ({FEATURES[name].unit})" for name in shown)),
            rows,
        )
    )


def _change(changes: Mapping[str, float], correlations: Mapping[str, float], name: str) -> str:
    if name not in changes:
        return NOTHING
    return f"{changes[name]:+.2f} ({correlations[name]:+.2f})"


def _learning(found: Evaluation) -> str:
    curve = found.learning
    if curve is None:
        stem = found.key.split("/")[0]
        return (
            "Not drawn yet: `python -m training learn training/configs/"
            f"{stem}.toml` trains the networks for it."
        )
    names = [one.name for one in found.card.outputs if one.name in curve["points"][0]["scores"][0]]
    rows = [
        (
            str(one["spectra"]),
            str(one["compounds"]),
            _spread(one["scores"], lambda s: s["oxidation_state"]["mean_absolute_error_loss"]),
            *(
                _spread(one["scores"], lambda s, name=name: s[name]["spearman_score"])
                for name in names
            ),
            _spread(one["scores"], lambda s: s.get("f1_score", np.nan)),
            _spread(one["scores"], lambda s: s["reconstruction_mean_absolute_error_loss"], 3),
        )
        for one in curve["points"]
    ]
    scored = curve["scored_on"]
    return (
        f"{len(curve['seeds'])} single networks a point, {curve['epochs']} epochs (settings of "
        f"{curve['name']} {curve['version']}), scored on {scored['spectra']} spectra of "
        f"{scored['compounds']} compounds that none saw: mean and range.\n\n"
        + as_table(
            (
                "training spectra",
                "compounds",
                "valence MAE",
                *(f"{heading(name)}, ρ" for name in names),
                "coordination F1",
                "reconstruction MAE",
            ),
            rows,
        )
    )


def _spread(scores: Sequence[Any], figure: Callable[[Any], float], digits: int = 2) -> str:
    each = [figure(one) for one in scores]
    if not np.isfinite(each).all():
        return NOTHING
    middle = f"{np.mean(each):.{digits}f}"
    return middle if len(each) == 1 else f"{middle} ({min(each):.{digits}f}–{max(each):.{digits}f})"


def _related(found: Evaluation) -> str:
    """What was trained along; see `training.simulated.dataset.with_related`."""
    related = found.card.raw["data"].get("related")
    return f", with {related['spectra']} of other elements in the first epochs" if related else ""


def _count(found: Evaluation, part: str) -> str:
    return str(found.card.raw.get("data", {}).get("spectra", {}).get(part, NOTHING))


def _kind(name: str) -> str:
    return "native, unrattled sites" if name == "native" else "all"
