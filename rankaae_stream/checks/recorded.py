"""Explain what a profile makes of a beamline's own recorded run, step by step."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import numpy as np

from rankaae_stream.analysis import Analysis
from rankaae_stream.checks.advice import ADVICE, KNOWN, key_of, misfit, streams_of
from rankaae_stream.checks.base import Broken, Finding, NotChecked
from rankaae_stream.checks.find_run import Recorded
from rankaae_stream.checks.read_run import Understood, read_run
from rankaae_stream.documents.rules import RunRules, lookup
from rankaae_stream.documents.sweeps import FRAGMENT, Sweep
from rankaae_stream.edges import edge_of, element_within
from rankaae_stream.errors import Refusal, Refused
from rankaae_stream.layouts.base import Layout, fields_of
from rankaae_stream.loading import build_pipeline
from rankaae_stream.profile import Profile
from rankaae_stream.report import Estimate, Report, Result, to_dict
from rankaae_stream.show.text_plot import text_plot
from rankaae_stream.spectrum import K_EDGES, Channel

__all__ = ["recorded_findings"]

ROLES = ("ir", "it", "fluorescence", "pips")
"""Signals that a run may lack; those that the profile names are listed."""
LARGE_SHIFT = 2.0
"""A larger shift of the axis, eV, is a reason to check the monochromator's constants."""


def recorded_findings(
    profile: Profile,
    run: Recorded,
    names: list[str],
    load: Callable[[], Analysis] | None = None,
) -> Iterator[Finding]:
    """Yield findings in the order in which a run is processed; a failure ends them.

    Parameters
    ----------
    profile : Profile
    run : Recorded
    names : list of str
        Of the profile's layouts, see `settings.layout_names`.
    load : callable, optional
        Loads models and foils.
    """
    choice, start = profile.run.build(), run.start
    yield Finding("run", "found", "ok", _described(run), data={"uid": start.get("uid")})
    if "original_run_uid" in start:
        yield Finding(
            "run",
            "XAS",
            "failed",
            f"it is a result, of the run {start['original_run_uid']}",
            f"check that run: --run {start['original_run_uid']}",
        )
        return
    yield from _names(profile, start)
    results: list[Result] = []
    pipeline = build_pipeline(profile, results.append, load() if load else None)
    unwanted = pipeline.unwanted(start)
    if unwanted:
        yield Finding("run", "XAS", "failed", f"not XAS: {unwanted}", ADVICE["not_xas"])
        return
    rules = "by [[run.xas]]" if choice.xas else "as every run with the fields of a layout"
    yield Finding("run", "XAS", "ok", f"taken for XAS, {rules}")

    layouts = profile.build_layouts()
    read = [read_run(layout, run.documents) for layout in layouts]
    fitting = next((i for i, found in enumerate(read) if found.refusal is None), None)
    if fitting is None:
        yield _unread(run, layouts, names, read)
        return
    found = read[fitting]
    yield Finding("run", "layout", "ok", f"{names[fitting]} fits", data={"layout": names[fitting]})
    yield _signals(layouts[fitting], names[fitting], found)
    motion = _motion(found)
    yield motion
    if motion.verdict == "failed":
        yield _curve(found, next(iter(found.sweeps[0].mu)))
        return

    for name, doc in run.documents:
        pipeline.feed(name, doc, 0.0)
    pipeline.finish("the archive holds no end of the run")
    final = [result for result in results if result.report.complete]
    edge = _edge(choice, run, final, found)
    yield edge
    if edge.verdict == "failed" or not final:
        yield _curve(found, next(iter(found.sweeps[0].mu)))
        return
    primary = next((result.report for result in final if result.primary), final[0].report)
    yield _foil(layouts[fitting], names[fitting], found, primary)
    for result in final:
        yield _answer(result.report, result.primary)
    yield _curve(found, primary.channel, primary.element)


# ---- step by step --------------------------------------------------------------------


def _described(run: Recorded) -> str:
    start = run.start
    parts = [f"{str(start.get('uid', '?'))[:8]} of {run.where}"]
    if start.get("plan_name"):
        parts.append(f"plan {start['plan_name']}")
    parts += [f"{key} {start[key]}" for key in ("scan_id", "sample_name") if start.get(key)]
    time = start.get("time")
    if isinstance(time, (int, float)):
        parts.append(datetime.fromtimestamp(time).astimezone().isoformat(" ", "minutes"))
    parts.append(f"{len(run.documents)} documents")
    stop = next((doc for name, doc in run.documents if name == "stop"), None)
    parts.append(f"exit status {stop.get('exit_status')}" if stop else "no stop document")
    return ", ".join(parts) + (f" ({run.left_out})" if run.left_out else "")


def _names(profile: Profile, start: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the start keys that look like a sample, a group or a proposal and are not copied."""
    copied = profile.copied_keys()
    found = [
        key
        for key, value in start.items()
        if key not in copied and value and (_LIKE_A_NAME.search(key) or _holds_a_name(value))
    ]
    if found:
        sentence = (
            f"{', '.join(found)}: not copied into results, though the name looks like a sample, "
            "a group or a proposal"
        )
        fix = f"if people look for it, add it to copy of [run]: copy = {_listed(found)}"
        yield Finding("run", "names", "ok", sentence, fix, data={"not_copied": found})


_LIKE_A_NAME = re.compile(r"sample|specimen|group|proposal|title|comment", re.IGNORECASE)


def _holds_a_name(value: Any) -> bool:
    keys = cast("Mapping[Any, Any]", value if isinstance(value, Mapping) else {})
    return any(_LIKE_A_NAME.search(str(key)) for key in keys)


def _unread(
    run: Recorded, layouts: list[Layout], names: list[str], read: list[Understood]
) -> Finding:
    """Return what is wrong with the layout that came furthest, then the reasons of the others."""
    streams = streams_of(run.documents)
    tried: list[tuple[int, str, Broken | NotChecked]] = []
    for layout, name, found in zip(layouts, names, read, strict=True):
        refusal = found.refusal or Refusal("missing_fields", "")
        known = any(field.stream in streams for field in fields_of(layout))
        rank = 0 if refusal.name != "missing_fields" else 1 if known else 2
        tried.append((rank, name, misfit(layout, name, run.documents, refusal)))
    tried.sort(key=lambda item: item[0])
    _, name, why = tried[0]
    others = [f"\n{other} does not fit either: {no.message}" for _, other, no in tried[1:]]
    verdict = "not checked" if isinstance(why, NotChecked) else "failed"
    return Finding("run", name, verdict, why.message + "".join(others), why.fix)


def _signals(layout: Layout, name: str, found: Understood) -> Finding:
    used = [f"{role}: {where}" for role, where in found.used.items()]
    lacking = [
        f"{key_of(name, field.role)} = {_listed(field.names)}"
        for field in fields_of(layout)
        if field.role in ROLES and field.names and field.role not in found.used
    ]
    channels = ", ".join(dict.fromkeys(channel for sweep in found.sweeps for channel in sweep.mu))
    lines = [*(used or ["the layout does not list the fields it used"]), f"channels: {channels}"]
    if lacking and used:
        lines.append(f"not in this run: {'; '.join(lacking)}")
    return Finding("run", "signals", "ok", "\n".join(lines), data={"used": dict(found.used)})


def _listed(names: Iterable[str | tuple[str, ...]]) -> str:
    return repr([name if isinstance(name, str) else list(name) for name in names])


def _motion(found: Understood) -> Finding:
    whole = [sweep for sweep in found.sweeps if len(sweep.energy) >= FRAGMENT]
    if not whole:
        few = sum(len(sweep.energy) for sweep in found.sweeps)
        return Finding("run", "motion", "failed", f"only {few} points, in no sweep of {FRAGMENT}")
    directions = list(dict.fromkeys(_direction(sweep) for sweep in whole))
    indices = {sweep.index for sweep in whole}
    energy = np.concatenate([sweep.energy for sweep in whole])
    points = sorted({len(sweep.energy) for sweep in whole})
    count = f"{points[0]}" if len(points) == 1 else f"{points[0]} to {points[-1]}"
    low, high = float(energy.min()), float(energy.max())
    summary = (
        f"{len(indices)} sweep{'s' * (len(indices) > 1)}, {' and '.join(directions)}, {count} "
        f"points, {low:.1f} to {high:.1f} eV"
    )
    data = {"sweeps": len(indices), "ways": directions, "points": points, "range": [low, high]}
    if high < 200.0:
        return Finding(
            "run",
            "motion",
            "failed",
            f"{summary}: no K edge is there",
            "these look like keV or an angle: name the field in eV, or set the data key's units "
            "to keV",
            data,
        )
    return Finding("run", "motion", "ok", summary, data=data)


def _direction(sweep: Sweep) -> str:
    return "rising" if sweep.energy[-1] > sweep.energy[0] else "falling"


def _edge(choice: RunRules, run: Recorded, final: list[Result], found: Understood) -> Finding:
    stated = choice.stated_edge(run.start)
    fix = f"set run.element, now {list(choice.element)}, to the start key that names it"
    energy = np.concatenate([sweep.energy for sweep in found.sweeps])
    if stated.element is None:
        report = final[0].report if final else None
        if report is None or report.edge is None:
            keys = ", ".join(sorted(str(key) for key in run.start))
            reason = report.refusal.message if report and report.refusal else "no K edge is crossed"
            problem = f"{reason}; no start key names the element; there are {keys}"
            return Finding("run", "edge", "failed", problem, fix)
        found_by = f"{report.edge}, by the rise of mu"
        return Finding("run", "edge", "ok", found_by, data={"edge": report.edge.element})
    where = ", ".join(
        f"{what} from {key}"
        for what, keys in (("element", choice.element), ("edge", choice.edge))
        if (key := next((key for key in keys if lookup(run.start, (key,))), None))
    )
    named = f"{stated.element} {stated.shell}, {where}"
    try:
        edge = edge_of(stated)
    except Refused as refused:
        return Finding("run", "edge", "failed", f"{named}: {refused.message}", KNOWN)
    passed = element_within(energy)
    if passed and not energy.min() < edge.e0 < energy.max():
        named += f", but the energies cross the {passed} K edge and not {edge.e0:.0f} eV"
        return Finding("run", "edge", "failed", named, fix)
    return Finding("run", "edge", "ok", named, data={"edge": str(edge)})


def _foil(layout: Layout, name: str, found: Understood, report: Report) -> Finding:
    shifts, flags = report.shifts, {flag.name: flag.message for flag in report.flags}
    foil = shifts.foil
    if foil is None:
        reason = flags.get("no_foil", "the run was refused before its foil was used")
        has = any("reference" in sweep.mu for sweep in found.sweeps)
        fix = f"set {key_of(name, 'ir')} to the chamber behind the foil, if there is one"
        fix = "" if has else fix
        return Finding("run", "foil", "not checked", reason, fix)
    summary = (
        f"{foil.library} fits the reference channel at {foil.value:+.2f} ± {foil.uncertainty:.2f} "
        f"eV, misfit {foil.misfit:.3f} edge steps; {shifts.calibration:+.2f} eV are added"
    )
    if abs(foil.value) > LARGE_SHIFT:
        # Without a field for it the layout computes the energy from other things.
        fields = fields_of(layout)
        computed = bool(fields) and all(field.role != "energy" for field in fields)
        cause = "the monochromator's constants" if computed else "its calibration"
        summary += f"; this is a large shift: look at {cause}"
    return Finding("run", "foil", "ok", summary, data=dataclasses.asdict(foil))


def _answer(report: Report, primary: bool) -> Finding:
    name = f"{report.channel}{', the primary channel' if primary else ''}"
    name += f", sweep {report.sweep + 1}" if report.sweep else ""
    flags = [f"{flag.name}: {flag.message}" for flag in report.flags]
    if report.refusal is not None:
        refusal = f"refused as {report.refusal.name}: {report.refusal.message}"
        if not primary:  # the channel may not have been measured on purpose
            return Finding("run", name, "not checked", refusal, "", to_dict(report))
        advice = ADVICE.get(report.refusal.name, "")
        message = "\n".join([refusal, *flags])
        return Finding("run", name, "failed", message, advice, to_dict(report))
    answers = [
        f"{found.name.replace('_', ' ')} {found.value:{sign}.2f} ({found.low:{sign}.2f} to "
        f"{found.high:{sign}.2f}, {found.level:.0%})"
        for found, sign in _main(report)
    ]
    answers.append(f"edge step {report.edge_step:.3g}")
    if flags and not (primary and report.sweep == 0):  # in full once, then by name only
        answers.append("flags " + ", ".join(flag.name for flag in report.flags))
        flags = []
    return Finding("run", name, "ok", "\n".join([", ".join(answers), *flags]), data=to_dict(report))


def _main(report: Report) -> list[tuple[Estimate, str]]:
    """Return the two main estimates that there are, each with the format of its sign."""
    wanted = {"oxidation_state": "+", "coordination_number": ""}
    found = [(report.estimate(name), sign) for name, sign in wanted.items()]
    return [(estimate, sign) for estimate, sign in found if estimate is not None]


def _curve(found: Understood, channel: Channel, element: str = "") -> Finding:
    """Return a plot of mu(E) of a channel's first sweep."""
    sweep = next((sweep for sweep in found.sweeps if channel in sweep.mu), None)
    if sweep is None:
        return Finding("run", "curve", "not checked", f"{channel} has no points")
    energy, mu = sweep.channel(channel)
    e0 = K_EDGES.get(element)
    mark = (e0, f"{element} K {e0:.0f}") if e0 else None
    lines = text_plot(energy, mu, mark=mark)
    data: Mapping[str, Any] = {
        "energy": energy.tolist(),
        "mu": [float(v) if np.isfinite(v) else None for v in mu],
    }
    title = f"mu(E), {channel}, as measured"
    return Finding("run", "curve", "ok", "\n".join([title, *lines]), data=data)
