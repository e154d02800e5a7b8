"""Check that a profile's settings can work on this machine."""

import functools
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rankaae_stream.analysis import Analysis
from rankaae_stream.checks.base import Broken, Check, NotChecked
from rankaae_stream.checks.rehearsal import start_of
from rankaae_stream.documents.rules import Exclusion, Rule, RunRules
from rankaae_stream.model.runtime import choose, duplicate_runtime
from rankaae_stream.profile import Profile

__all__ = ["layout_names", "settings_checks"]


def settings_checks(profile: Profile, load: Callable[[], Analysis]) -> Iterator[Check]:
    """Yield the checks that need no run and no network; `load` loads the models."""
    yield Check("profile", "models and normalisation", lambda: _analysis(profile, load()))
    yield Check("profile", "ONNX Runtime", _runtime)
    yield Check("profile", "device", lambda: _device(profile.device))
    yield Check("profile", "spool", lambda: _spool(profile.spool.expanduser()))
    for key, folder in _folders(profile):
        yield Check("profile", f"{key} {folder}", lambda key=key, f=folder: _folder(key, f))
    choice = profile.run.build()
    for number, rule in enumerate(choice.xas or ({},)):
        name = f"run.xas {number + 1}" if choice.xas else "run.xas"
        yield Check("profile", name, lambda rule=rule: _is_xas(choice, rule))
    for number, rule in enumerate(choice.not_xas):
        name = f"run.not_xas {number + 1}"
        ask = functools.partial(_is_not_xas, choice, rule)
        yield Check("profile", name, ask)


def layout_names(profile: Profile) -> list[str]:
    """Return a name for each layout of a profile: ``layout (step)``, or ``layout 2 (step)``."""
    if not isinstance(profile.layout, tuple):
        return [f"layout ({profile.layout.kind})"]
    return [f"layout {i} ({layout.kind})" for i, layout in enumerate(profile.layout, start=1)]


def _analysis(profile: Profile, analysis: Analysis) -> str:
    models = analysis.models
    own = f", {len(profile.models)} of your own" if profile.models else ""
    ranges = "as each model's card has it"
    if profile.normalization is not None:
        ranges = "stated, and equal to every card's"
    return f"{len(models)} models load{own}: {', '.join(sorted(models))}; normalisation {ranges}"


def _runtime() -> str:
    advice = duplicate_runtime()
    if advice:
        message, _, fix = advice.partition("; fix: ")
        raise Broken(message, fix)
    import onnxruntime

    return (
        f"onnxruntime {onnxruntime.__version__}, one distribution; Python {sys.version.split()[0]}"
    )


def _device(device: str) -> str:
    return f"device = {device!r}: the models run on {choose(device)}"


def _spool(folder: Path) -> str:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    fix = "set spool to a folder that can be written"
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0" * 4096)
            file.flush()
    except OSError as error:
        raise Broken(f"{there} cannot be written ({error.strerror})", fix) from error
    return f"{folder} can be written" if there == folder else f"{folder} can be made in {there}"


def _folders(profile: Profile) -> Iterator[tuple[str, Path]]:
    """Yield the folders that a layout reads from, with the setting that names them."""
    for layout in profile.layouts:
        roots: Any = getattr(layout, "allowed_roots", ())
        mapped: Any = getattr(layout, "root_map", {})
        named = itertools.chain(
            (("layout.allowed_roots", root) for root in roots),
            (("layout.root_map", root) for root in mapped.values()),
        )
        for key, root in named:
            yield key, Path(str(root)).expanduser()


def _folder(key: str, folder: Path) -> str:
    if not folder.exists():
        raise NotChecked(
            "it is not on this machine, so no file of a scan can be read here",
            f"check again at the beamline; if it is missing there, set {key}",
        )
    if not folder.is_dir():
        raise Broken("it is a file", f"set {key} to folders")
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise Broken(f"it cannot be read ({error.strerror})", "ask its owner") from error
    return "it exists and can be read"


def _is_xas(choice: RunRules, rule: Rule) -> str:
    start = start_of(choice, rule)
    unwanted = choice.unwanted(start)
    if unwanted:
        raise Broken(
            f"a run that this table describes is no XAS: {unwanted}",
            "make the patterns of run.not_xas narrower",
        )
    element, shell = choice.stated_edge(start)
    edge = f"{element} {shell} from {choice.element[0]}" if element else "found by the rise of mu"
    what = ", ".join(f"{key} = {' or '.join(patterns)}" for key, patterns in rule.items())
    return f"{what or 'every run with the fields of the layout'}: XAS; element and edge {edge}"


def _is_not_xas(choice: RunRules, exclusion: Exclusion) -> str:
    start = start_of(choice, exclusion.rule)
    unwanted = choice.unwanted(start)
    if not unwanted:
        raise Broken(
            f"a run that this table describes ({exclusion.reason or 'no reason'}) is taken for XAS",
            "look at its patterns: * fits anything, ?* any text",
        )
    fate = "refused with the reason"
    if exclusion.skip:
        fate = "skipped"
    elif choice.others == "skip":
        fate += ", or skipped where it names no element"
    return f"{unwanted}: {fate}"
