"""Answer measured standards by a model at many energy shifts, so that fits are arithmetic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.documents.sweeps import to_spectrum
from rankaae_stream.errors import ConfigurationError, Refused
from rankaae_stream.files.base import Measured
from rankaae_stream.inference import Answer, infer_file
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.estimates import describe_many
from rankaae_stream.model.networks import Model
from rankaae_stream.report import Estimate, Report
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectra.quality import coverage
from rankaae_stream.spectra.regrid import perturbed
from rankaae_stream.spectrum import Edge, Floats, Origin
from rankaae_stream.standards.table import FEWEST, OWN, Groups, Row, left_out_groups

__all__ = ["SHIFTS", "Encoded", "Measurement", "encode"]

SHIFTS = 0.2 * np.arange(-15, 16)
"""Energy shifts that are tried, eV; axes of laboratories lie up to 1.6 eV apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One standard as the model sees it.

    Attributes
    ----------
    row : Row
    before : Estimate
        The valence as the model answers it now.
    latents : (s, members, 1 + 2 p, latent) array
        Of the spectrum and its perturbed copies (`spectra.regrid.perturbed`), at each of
        `SHIFTS` added to the model's theory shift; NaN where the scan does not reach so far.
    values : (s,) array
        The valence at each of these shifts.
    axis : float
        Standard deviation of its energy axis, eV.
    foil : bool
        Whether a foil calibrated the axis.
    flags : tuple of str
        Of the report, those that ask for caution.
    """

    row: Row
    before: Estimate
    latents: Floats
    values: Floats
    axis: float
    foil: bool
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """All standards of one edge that can be used.

    Attributes
    ----------
    model : Model
        Of their edge.
    standards : tuple of n Encoded
    groups : (n,) array
        See `table.left_out_groups`.
    theory : float
        Standard deviation of the theory shift, eV; 0 where the standards are enough to take
        its place.
    notes : tuple of str
        One sentence for each standard that was refused.
    """

    model: Model
    standards: tuple[Encoded, ...]
    groups: Groups
    theory: float
    notes: tuple[str, ...]


def encode(
    rows: Sequence[Row],
    analysis: Analysis,
    *,
    blocks: int | None = None,
    element: str | None = None,
    columns: Mapping[str, str] | None = None,
    foil: Measured | None = None,
    tell: Callable[[], object] = lambda: None,
) -> Measurement:
    """Read and answer the standards of one edge.

    Parameters
    ----------
    rows : sequence of Row
    analysis : Analysis
    blocks : int, optional
        See `table.left_out_groups`.
    element, columns, foil
        As for `inference.infer_file`.
    tell : callable, optional
        Called after each file.

    Returns
    -------
    Measurement

    Raises
    ------
    ConfigurationError
        When they are of different edges or of none with a model, a valence is impossible, or
        fewer than two compounds are left.
    """
    answered: list[tuple[Row, Answer]] = []
    notes: list[str] = []
    for row in rows:
        answers = infer_file(row.file, element, columns=columns, foil=foil, analysis=analysis)
        good = [answer for answer in answers if answer.report.refusal is None]
        if good:
            answered.append((row, good[0]))
        else:
            notes.append(f"{row.file} was left out: {_why(answers[0].report)}")
        tell()
    model = _one_model([(row, answer.report) for row, answer in answered], analysis, notes)
    _require_possible(rows, model.card)
    if len({row.compound for row, _ in answered}) < FEWEST:
        raise ConfigurationError(
            f"of {len(rows)} standards {len(answered)} can be used, two compounds are needed: "
            + "; ".join(notes)
        )
    groups = left_out_groups([row.compound for row, _ in answered], blocks)
    enough = np.unique(groups).size >= OWN
    theory = 0.0 if enough else model.card.theory_shift.uncertainty
    kept = tuple(_encoded(row, answer, model, theory) for row, answer in answered)
    return Measurement(model, kept, groups, theory, tuple(notes))


def _why(report: Report) -> str:
    return report.refusal.message if report.refusal else ""


def _one_model(
    reports: Sequence[tuple[Row, Report]], analysis: Analysis, notes: Sequence[str]
) -> Model:
    """Return the model of the edge that all standards share."""
    edges = {str(report.edge): row for row, report in reports if report.edge}
    if not edges:
        raise ConfigurationError(f"no standard can be used: {'; '.join(notes)}")
    if len(edges) > 1:
        named = ", ".join(f"{row.file} is {edge}" for edge, row in edges.items())
        raise ConfigurationError(
            f"the standards are of several edges ({named}); give each edge a table of its own, or "
            "state the element with --element"
        )
    return analysis.models[next(iter(edges))]


def _require_possible(rows: Sequence[Row], card: ModelCard) -> None:
    output = next((out for out in card.outputs if out.name == "oxidation_state"), None)
    if output is None:
        raise ConfigurationError(f"{card.name} estimates no oxidation state; there is none to fit")
    low, high = output.range
    for row in rows:
        if not low <= row.valence <= high:
            raise ConfigurationError(
                f"{row.file}: valence {row.valence:g} is impossible, {card.edge.element} has "
                f"{low:g} to {high:g}; correct the table"
            )


def _encoded(row: Row, answer: Answer, model: Model, theory: float) -> Encoded:
    """Encode a standard at every shift, with the steps that answered it."""
    report, measured = answer.report, answer.measured
    before = report.estimate("oxidation_state")
    if measured is None or before is None or report.edge is None:
        raise ValueError(f"{row.file} was not answered")
    axis = report.shifts.uncertainty or 0.0
    latents = _latents(measured, report, report.edge, model, float(np.hypot(axis, theory)))
    return Encoded(
        row,
        before,
        latents,
        _values(model.card, latents),
        axis,
        report.shifts.foil is not None,
        tuple(flag.name for flag in report.flags if flag.severity == "warning"),
    )


def _latents(measured: Measured, report: Report, edge: Edge, model: Model, sigma: float) -> Floats:
    card, e0 = model.card, edge.e0
    spectrum, _ = to_spectrum(measured.energy, measured.mu, edge, Origin(report.source))
    energy = spectrum.energy + report.shifts.calibration
    copies: list[Floats] = []
    reached: list[int] = []
    flat: Floats | None = None
    for number, shift in enumerate(SHIFTS):
        theory = card.theory_shift.value + float(shift)
        try:
            cover = coverage(energy, e0, card.normalization, card.grid, theory, complete=True)
            if flat is None:
                flat = normalize(energy, spectrum.mu, e0, cover.ranges).flat
            copies.append(perturbed(energy + theory, flat, card.grid, e0, sigma, cover.step_error))
            reached.append(number)
        except Refused:
            continue
    encoded = model.encode(np.concatenate(copies)).astype(np.float64)
    members, _, latent = encoded.shape
    found = np.full((SHIFTS.size, members, copies[0].shape[0], latent), np.nan)
    found[reached] = encoded.reshape(members, len(copies), -1, latent).swapaxes(0, 1)
    return found


def _values(card: ModelCard, latents: Floats) -> Floats:
    place = next(i for i, out in enumerate(card.outputs) if out.name == "oxidation_state")
    values, _ = describe_many(latents[:, :, 0].swapaxes(0, 1), card)
    return np.where(np.isnan(latents[:, 0, 0, 0]), np.nan, values[:, place])
