"""Define the report on one spectrum, and translate it into plain data.

`to_dict` is the only place where a Report becomes keys and values: the JSON
line, the event's flat columns (`flatten`) and the stop document's searchable
summary (`summarize`) are all made from what it returns.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from rankaae_stream.errors import Refusal
from rankaae_stream.spectrum import (
    Channel,
    Edge,
    Floats,
    NormalizationRanges,
    Origin,
    Spectrum,
)

__all__ = [
    "SCHEMA",
    "Curves",
    "Described",
    "Domain",
    "Estimate",
    "Flag",
    "FoilShift",
    "ModelName",
    "Report",
    "Result",
    "RunFoil",
    "Shares",
    "Shifts",
    "flatten",
    "result_uid",
    "summarize",
    "to_dict",
]

SCHEMA = 1
"""Version of the dictionary that `to_dict` returns; raised when a key changes its meaning."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What an interval is made of: each cause's part of its squared half-width; they add to 1.

    Attributes
    ----------
    noise : float
        Noise of the points.
    normalization : float
        Edge step and background.
    axis : float
        The energy axis.
    ensemble : float
        What the networks miss on simulated compounds.
    theory : float
        What simulation misses of measured compounds.
    extent : float
        What a scan that has not ended, or is short, has not seen.
    """

    noise: float = 0.0
    normalization: float = 0.0
    axis: float = 0.0
    ensemble: float = 0.0
    theory: float = 0.0
    extent: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """One descriptor with the interval that holds it with probability `level`.

    `shares` are of the half-width that the interval has before it is cut to possible values.
    """

    name: str
    value: float
    low: float
    high: float
    level: float
    unit: str
    shares: Shares | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """Something worth knowing about a spectrum that got its numbers all the same."""

    name: str
    severity: Literal["info", "warning"]
    value: float | None
    unit: str
    message: str


@dataclass(frozen=True, slots=True)
class Domain:
    """How unlike an oxide the spectrum is: the probability that it is none, from 0 to 1.

    Beyond `threshold` the flag `out_of_domain` is set; also where the sample is the metal.
    `looks_like` is the kind that it resembles most among those that are no oxides.
    """

    distance: float
    threshold: float
    looks_like: str = ""


@dataclass(frozen=True, slots=True)
class ModelName:
    """The model that answered; `id` is the sha256 of its card.json."""

    name: str
    version: str
    id: str


@dataclass(frozen=True, slots=True)
class FoilShift:
    """Shift that a reference foil adds to the measured energy.

    `value` and its standard deviation `uncertainty`, eV; `misfit` is what the library
    foil leaves of the reference, root mean square in edge steps. `library` names that
    foil's file, and `moved` what was added to its energies so that its first inflection
    is the tabulated edge, eV. `damping` is by how much that foil's peaks had to be pressed
    down to fit, as by thickness or harmonics (`spectra.axis.FoilLibrary.damped`), else 0.
    `compound` is the known compound that took a foil's place, else empty.
    """

    value: float
    uncertainty: float
    misfit: float
    library: str
    moved: float
    damping: float = 0.0
    compound: str = ""


@dataclass(frozen=True, slots=True)
class RunFoil:
    """The shift that the foil of a `run` gave, `age` hours before this scan; 0 for its own."""

    shift: FoilShift
    run: str
    age: float


@dataclass(frozen=True, slots=True)
class Shifts:
    """Shifts that were added to the measured energy, eV, and where they come from.

    Attributes
    ----------
    calibration, theory : float
        Added for the foil, and for the model's simulations (its card).
    calibration_run : str
        The run or file whose foil it was; empty where there was none.
    calibration_age : float
        Hours between that run's foil and this scan; 0 for the scan's own.
    uncertainty : float or None
        Standard deviation of the calibrated axis, which is part of the intervals;
        None for a report that did not get that far.
    foil : FoilShift or None
        Shift by the foil; its value is not `calibration` where the profile only reports it.
    """

    calibration: float = 0.0
    theory: float = 0.0
    calibration_run: str = ""
    calibration_age: float = 0.0
    uncertainty: float | None = None
    foil: FoilShift | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Curves to compare by eye, on the model's grid, each of shape (points,).

    `reconstruction` is NaN below the energy where the simulation begins.
    """

    energy: Floats
    flat: Floats
    reconstruction: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The answer to one spectrum; exactly one of `estimates` and `refusal` is empty.

    `extent` is the range that the answer to a part of a spectrum rests on, eV from the
    tabulated edge; None for the answer to a complete one. To that, `part_answer` is what the
    valence is by the raw absorption alone, as for a part. `advice` says what would narrow the
    valence's interval most. `measured` is the spectrum that was answered, on the axis as it was
    measured and without glitches: repeats are merged from these.
    """

    source: str
    element: str
    channel: Channel
    sweep: int
    points: int
    energy_range: tuple[float, float] | None
    complete: bool
    edge: Edge | None = None
    edge_step: float | None = None
    estimates: tuple[Estimate, ...] = ()
    flags: tuple[Flag, ...] = ()
    refusal: Refusal | None = None
    domain: Domain | None = None
    latent: tuple[float, ...] = ()
    model: ModelName | None = None
    normalization: NormalizationRanges | None = None
    shifts: Shifts = field(default_factory=Shifts)
    code_version: str = ""
    curves: Curves | None = None
    extent: tuple[float, float] | None = None
    part_answer: Estimate | None = None
    advice: str = ""
    measured: Spectrum | None = None

    def __post_init__(self) -> None:
        if bool(self.estimates) == (self.refusal is not None):
            raise ValueError("a report carries either estimates or a refusal")

    @property
    def origin(self) -> Origin:
        """Where the spectrum comes from."""
        return Origin(self.source, self.channel, self.sweep, self.complete)

    def estimate(self, name: str) -> Estimate | None:
        """Return the estimate of that name, or None where it was refused or is unknown."""
        return next((item for item in self.estimates if item.name == name), None)


class Described(NamedTuple):
    """Name, unit and evidence of one descriptor that a model estimates.

    `evidence` is ``measured`` where measured compounds have shown it right, and
    ``simulation`` where it is a hint.
    """

    name: str
    unit: str
    evidence: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A report with what its result run needs.

    Attributes
    ----------
    report : Report
    uid : str
        Of the result run; the same for every report on one sweep and channel,
        live or replayed.
    start : mapping
        The raw run's start document.
    time : float
        Seconds since the epoch of the last raw document that took part, so that
        a replay gives the same documents.
    outputs : tuple of Described
        What the model estimates, refused or not: the event's columns.
    grid : (points,) array or None
        Energies of the model's grid, eV, which the event's curves are on.
    primary : bool
        Whether its channel is the one that the run was measured for.
    quick : bool
        Whether its sweep took seconds only: with many of these it is a row of one result run.
    """

    report: Report
    uid: str
    start: Mapping[str, Any]
    time: float
    outputs: tuple[Described, ...] = ()
    grid: Floats | None = None
    primary: bool = True
    quick: bool = False


def to_dict(report: Report) -> dict[str, Any]:
    """Return a report as plain data: JSON types only, no arrays.

    Returns
    -------
    dict
        Keys as documented in the README's section on the result; energies in
        eV; `edge` is the shell.
    """
    return {
        "schema": SCHEMA,
        "source": report.source,
        "element": report.element,
        "edge": report.edge.shell if report.edge else "",
        "channel": report.channel,
        "sweep": report.sweep,
        "points": report.points,
        "energy_range": list(report.energy_range) if report.energy_range else None,
        "complete": report.complete,
        "edge_step": report.edge_step,
        "estimates": [asdict(item) for item in report.estimates],
        "flags": [asdict(item) for item in report.flags],
        "refusal": asdict(report.refusal) if report.refusal else None,
        "out_of_domain": _domain(report.domain) if report.domain else None,
        "latent": list(report.latent),
        "model": asdict(report.model) if report.model else None,
        "normalization": asdict(report.normalization) if report.normalization else None,
        "energy_shift": asdict(report.shifts),
        "extent": list(report.extent) if report.extent else None,
        "part_answer": asdict(report.part_answer) if report.part_answer else None,
        "advice": report.advice,
        "code_version": report.code_version,
    }


def _domain(domain: Domain) -> dict[str, float]:
    """Return distance and threshold; what the spectrum looks like is in the flag's sentence."""
    return {"distance": domain.distance, "threshold": domain.threshold}


def flatten(report: Report, outputs: Sequence[str]) -> dict[str, float | str | bool]:
    """Return a report as one row of a table: the columns of an event, without the curves.

    Parameters
    ----------
    report : Report
    outputs : sequence of str
        Names of the estimates to make columns for; NaN where it was refused.

    Notes
    -----
    An event's columns have one type each, so a refusal is an empty string where
    there is none, flags are one JSON string, and a missing number is NaN.
    """
    plain = to_dict(report)
    row: dict[str, float | str | bool] = {
        f"{name}{suffix}": float("nan") for name in outputs for suffix in ("", "_low", "_high")
    }
    for item in plain["estimates"]:
        row[item["name"]] = item["value"]
        row[f"{item['name']}_low"] = item["low"]
        row[f"{item['name']}_high"] = item["high"]
    domain = plain["out_of_domain"] or {"distance": float("nan"), "threshold": float("nan")}
    nan = float("nan")
    low, high = plain["energy_range"] or (nan, nan)
    first, last = plain["extent"] or (nan, nan)
    shares = {
        item["name"]: {cause: round(share, 4) for cause, share in item["shares"].items()}
        for item in plain["estimates"]
        if item["shares"]
    }
    row.update(
        refusal=(plain["refusal"] or {"name": ""})["name"],
        refusal_message=(plain["refusal"] or {"message": ""})["message"],
        flags=json.dumps(plain["flags"]),
        shares=json.dumps(shares),
        advice=report.advice,
        extent_first=first,
        extent_last=last,
        complete=plain["complete"],
        points=float(plain["points"]),
        energy_first=low,
        energy_last=high,
        edge_step=float("nan") if plain["edge_step"] is None else plain["edge_step"],
        domain_distance=domain["distance"],
        domain_threshold=domain["threshold"],
        **_shift_columns(report.shifts),
    )
    return row


def _shift_columns(shifts: Shifts) -> dict[str, float | str | bool]:
    nan, foil = float("nan"), shifts.foil
    return {
        "shift_calibration": shifts.calibration,
        "shift_theory": shifts.theory,
        "shift_uncertainty": nan if shifts.uncertainty is None else shifts.uncertainty,
        "shift_run": shifts.calibration_run,
        "shift_age": shifts.calibration_age,
        "foil_shift": foil.value if foil else nan,
        "foil_uncertainty": foil.uncertainty if foil else nan,
        "foil_misfit": foil.misfit if foil else nan,
    }


def summarize(report: Report) -> dict[str, Any]:
    """Return plain data keyed by name, for the stop document, where a metadata query finds it.

    Examples
    --------
    A Tiled query for iron above +2.5 is
    ``Key("stop.summary.estimates.oxidation_state.value") > 2.5``.
    """
    plain = to_dict(report)
    plain["estimates"] = {item.pop("name"): item for item in plain["estimates"]}
    plain["flags"] = {item.pop("name"): item for item in plain["flags"]}
    return plain


def result_uid(origin: Origin, model_id: str, analysis_hash: str) -> str:
    """Return the uid of a result run: the same question to the same model has one answer."""
    source = str(origin.source)  # a run's uid may be of any type
    parts = "\n".join((source, origin.channel, str(origin.sweep), model_id, analysis_hash))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rankaae-stream:{parts}"))
