"""Remember which runs of an archive are answered and published, so that a replay can go on.

One file a replay beside the spool, JSON lines: a line a run, written once the run's results are
on the disk. It is deleted when the replay has come to its end, so that a later replay of the
same archive answers it anew. A line holds the results: series need them again.
"""

import base64
import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from rankaae_stream import errors, report, spectrum
from rankaae_stream.printable import get_logger
from rankaae_stream.private import open_private, private_folder
from rankaae_stream.report import Result, summarize
from rankaae_stream.results.compose import is_partial
from rankaae_stream.workers.one_run import STILL_RUNNING, Answer

__all__ = ["Ledger"]

logger = get_logger(__name__)


class Ledger:
    """The finished runs of one replay.

    Parameters
    ----------
    folder : Path
        Made when it does not exist, readable by its owner only.
    key : mapping
        What the answers depend on, plain data: another key is another replay.
    again : bool
        Forget what was finished before.

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], *, again: bool = False) -> None:
        private_folder(folder)
        text = json.dumps(key, sort_keys=True)
        self._path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
        if again:
            self._path.unlink(missing_ok=True)
        self._places = _places(self._path)
        self._file = open(self._path, "ab", opener=open_private)  # noqa: SIM115 - closed by `end`
        if self._file.tell() == 0:
            self._write({"replay": key})
        elif not _ends_a_line(self._path):
            self._file.write(b"\n")  # after a line that a kill has cut short

    @property
    def finished(self) -> frozenset[str]:
        """Uids of the runs that were finished before."""
        return frozenset(self._places)

    def read(self, run: str) -> Answer | None:
        """Return the answer to a finished run; None where it cannot be read."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._places[run])
                line = json.loads(file.readline())
            start: Any = _built(line["start"])
            results: Any = _built(line["results"])
            skipped = str(line["skipped"])
            if not all(isinstance(one, Result) for one in results):
                raise TypeError(f"{line['results']!r:.100} are no results")
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            logger.warning("%s: what it holds of run %s cannot be read: %s", self._path, run, error)
            return None
        return Answer(run, start, tuple(results), skipped=skipped, finished=True)

    def add(
        self, run: str, start: Mapping[str, Any], skipped: str, results: Sequence[Result]
    ) -> None:
        """Take note of a run whose results are on the disk, if they are its last ones.

        A run that could not be read whole is not finished: what is missing may be there later.
        A failing disk is logged; the run is answered again then.
        """
        if skipped == STILL_RUNNING:
            return
        if any(is_partial({"summary": summarize(one.report)}) for one in results):
            return
        # Series take results of the primary channel only.
        kept = tuple(one if one.primary else _bare(one) for one in results)
        try:
            self._write(
                {
                    "run": run,
                    "start": _plain(start),
                    "skipped": skipped,
                    "results": _plain(kept),
                }
            )
        except (OSError, TypeError, ValueError) as error:
            logger.warning("run %s is not noted as finished: %s", run, error)

    def close(self, *, complete: bool) -> None:
        """Close the file; delete it if the replay has come to its end."""
        self._file.close()
        if complete:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()


def _places(path: Path) -> dict[str, int]:
    """Return where each finished run's line begins."""
    found: dict[str, int] = {}
    place = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                # The name only: results are read one by one when they are needed.
                head = line[:400].decode("utf-8", "replace")
                if head.startswith('{"run": '):
                    with contextlib.suppress(ValueError):
                        run, _ = json.JSONDecoder().raw_decode(head[len('{"run": ') :])
                        found[str(run)] = place
            place += len(line)
    return found


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _bare(result: Result) -> Result:
    return dataclasses.replace(
        result, report=dataclasses.replace(result.report, curves=None, measured=None), grid=None
    )


# ---- our own nouns as plain data, and back; nothing else is ever built ------------------

_NOUNS: dict[str, Callable[..., Any]] = {
    cast("type", item).__name__: cast("Callable[..., Any]", item)
    for module in (report, spectrum, errors)
    for item in vars(module).values()
    if isinstance(item, type)
    and item.__module__ == module.__name__
    and (dataclasses.is_dataclass(item) or item is report.Described)
}


def _plain(value: Any) -> Any:
    """Return a value of our nouns as JSON has it; each mapping says in "_" what it is.

    Raises
    ------
    TypeError
        For anything else.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[Any, Any]", value)
        if array.dtype.kind not in "biufSU":
            raise TypeError(f"an array of {array.dtype}")
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {"_": "array", "type": array.dtype.str, "shape": list(array.shape), "data": data}
    if dataclasses.is_dataclass(value) and type(value).__name__ in _NOUNS:
        fields = {
            item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)
        }
        return {"_": type(value).__name__, "fields": fields}
    if isinstance(value, report.Described):
        return {"_": "Described", "fields": {k: _plain(v) for k, v in value._asdict().items()}}
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {"_": "map", "items": [[_plain(key), _plain(item)] for key, item in items]}
    if isinstance(value, tuple):
        return {"_": "tuple", "items": [_plain(item) for item in cast("tuple[Any]", value)]}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    raise TypeError(f"a {type(value).__name__} is not written")


def _built(value: Any) -> Any:
    """Build what `_plain` wrote.

    Raises
    ------
    TypeError, ValueError, LookupError
        For anything else.
    """
    if isinstance(value, list):
        return [_built(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    plain = cast("dict[str, Any]", value)
    kind = plain["_"]
    if kind == "array":
        dtype = np.dtype(str(plain["type"]))
        if dtype.kind not in "biufSU":
            raise TypeError(f"an array of {dtype}")
        array = np.frombuffer(base64.b64decode(plain["data"]), dtype=dtype)
        return array.reshape(plain["shape"]).copy()
    if kind == "map":
        return {_built(key): _built(item) for key, item in plain["items"]}
    if kind == "tuple":
        items: Sequence[Any] = plain["items"]
        return tuple(_built(item) for item in items)
    return _NOUNS[kind](**{key: _built(item) for key, item in plain["fields"].items()})
