"""Find a beamline's own recorded run, in a file of documents or in its Tiled."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankaae_stream.documents.rules import RunRules
from rankaae_stream.errors import ConfigurationError
from rankaae_stream.files.run_writer import Documents
from rankaae_stream.layouts.base import Document
from rankaae_stream.past.archive import catalogs_of, documents_of, open_archive, sentence_of
from rankaae_stream.past.in_files import ENDINGS
from rankaae_stream.past.selection import Selection
from rankaae_stream.profile import Profile

__all__ = ["Recorded", "find_run"]

LOOKED_AT = 200
"""Runs of an archive among which the first XAS scan is looked for."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run, with its documents.

    `where` is the archive's name; `left_out` describes the runs that were there too.
    """

    where: str
    documents: Documents
    left_out: str = ""

    @property
    def start(self) -> Document:
        """Return the start document."""
        nothing: Document = {}
        return next((doc for name, doc in self.documents if name == "start"), nothing)


def find_run(profile: Profile, source: str) -> Recorded:
    """Find and read a run.

    Parameters
    ----------
    profile : Profile
        Names the Tiled server in which a uid is looked for, and its key.
    source : str
        A file or folder of documents, or a Tiled address: its first XAS scan, or the run
        that ``#uid`` behind it names. Or a uid alone, or its beginning.

    Raises
    ------
    ConfigurationError
        When there is no such run or it cannot be read.
    """
    own = profile.own_server
    if source.startswith(("http://", "https://")):
        return _first(source, Selection(), own, profile)
    path, _, uid = source.partition("#")
    if path.endswith(ENDINGS) or Path(path).expanduser().exists() or "/" in path:
        return _first(path, Selection.parse([uid] if uid else []), own, profile)
    wanted = Selection.parse([source])
    names = catalogs_of(profile.tiled.uri, own)
    beside = profile.tiled.node.rpartition("/")[0]
    names.sort(key=lambda name: not name.partition("#")[2].startswith(beside))
    for name in names:
        # Results are no runs to check.
        if name.partition("#")[2] != profile.tiled.node:
            try:
                return _first(name, wanted, own, profile)
            except _NoRunError:
                continue
    looked = ", ".join(name.partition("#")[2] or "/" for name in names) or "none"
    raise ConfigurationError(
        f"no run of {profile.tiled.uri} has a uid that begins with {source} (catalogs of runs "
        f"there: {looked}); give a file of documents, or an address as for rankaae-stream replay"
    )


class _NoRunError(ConfigurationError):
    """The archive has no such run."""


def _first(name: str, wanted: Selection, own: tuple[str, str | None], profile: Profile) -> Recorded:
    """Return the first run of an archive that is XAS by the profile, else the first run."""
    choice, passed = profile.run.build(), list[Any]()
    with open_archive(name, wanted, own) as archive:
        for run in itertools.islice(_taken(archive.runs, wanted), LOOKED_AT):
            if not _reason(choice, run):
                return Recorded(name, _documents(run, name), _beside(choice, passed))
            passed.append(run)
        if passed:
            return Recorded(name, _documents(passed[0], name), _beside(choice, passed[1:]))
    which = f" with a uid that begins with {wanted.uids[0]}" if wanted.uids else ""
    raise _NoRunError(f"{name} holds no run{which}")


def _taken(runs: Iterable[Any], wanted: Selection) -> Iterable[Any]:
    return (run for run in runs if wanted.takes(_start_of(run)))


def _start_of(run: Any) -> Document:
    start = getattr(run, "start", None)
    return dict(start if start is not None else run.metadata.get("start") or {})


def _reason(choice: RunRules, run: Any) -> str:
    start = _start_of(run)
    if "original_run_uid" in start:
        return f"an analysis of the run {start['original_run_uid']}"
    return choice.unwanted(start)


def _beside(choice: RunRules, passed: list[Any]) -> str:
    if not passed:
        return ""
    reasons = dict.fromkeys(_reason(choice, run) or "not looked at" for run in passed)
    return f"{len(passed)} others left out: {'; '.join(list(reasons)[:3])}"


def _documents(run: Any, where: str) -> Documents:
    try:
        return documents_of(run)
    except Exception as error:  # whatever a foreign archive raises
        raise ConfigurationError(f"a run of {where}: {sentence_of(error)}") from error
