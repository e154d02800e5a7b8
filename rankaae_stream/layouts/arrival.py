"""Wait for the files of a run that has ended, and read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankaae_stream.errors import Refused
from rankaae_stream.files.frames import DATASETS, is_hdf5, read_frames
from rankaae_stream.files.pizzabox import is_whole
from rankaae_stream.files.resolve import read_sized
from rankaae_stream.layouts.assets import Asset
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Floats

__all__ = ["Arrival", "ScanFile"]


@dataclass(frozen=True, slots=True, eq=False)
class ScanFile:
    """One file on this machine; every refusal has its data key and its path."""

    key: str
    asset: Asset
    path: Path

    def content(self) -> bytes:
        """Return all bytes.

        Raises
        ------
        Refused
            ``missing_file`` or ``file``.
        """
        self._expect()
        try:
            return read_sized(self.path)
        except Refused as refused:
            raise self.refused(refused) from refused

    def whole(self) -> tuple[bytes, list[Flag]]:
        """Return the content, and a flag where that ends within a row."""
        content = self.content()
        if is_whole(self.asset.kind, content):
            return content, []
        return content, [self.truncated("the file ends within a row")]

    def frames(self) -> Floats:
        """Return one number a frame, (n,), from the asset's dataset, else from its spec's.

        Raises
        ------
        Refused
            ``missing_file``, ``file``, ``wrong_spec`` or ``missing_fields``.
        """
        self._expect()
        options = self.asset.options
        pattern = DATASETS.get(self.asset.spec.upper(), "")
        if not pattern and not options.get("dataset"):
            raise Refused(
                "wrong_spec",
                f"{self.key} is a file of spec {self.asset.spec!r}; frames are read from "
                f"{', '.join(DATASETS)}",
            )
        try:
            return read_frames(self.path, str(options.get("dataset") or pattern.format(**options)))
        except KeyError as error:
            raise Refused("missing_fields", f"the datum of {self.key} has no {error}") from error
        except Refused as refused:
            raise self.refused(refused) from refused

    def is_whole(self) -> bool:
        """Return whether the file can be read to its end."""
        if self.asset.kind:
            return is_whole(self.asset.kind, self.content())
        return is_hdf5(self.path)

    def refused(self, refused: Refused) -> Refused:
        """Return the same refusal, with the file's name in front."""
        return Refused(refused.name, f"{self.key}: {self.path}: {refused.message}")

    def truncated(self, reason: str) -> Flag:
        """Return a flag for a file that lacks its end."""
        return Flag("truncated_file", "warning", None, "", f"{self.key}: {self.path}: {reason}")

    def _expect(self) -> None:
        if not self.path.exists():
            raise Refused("missing_file", f"{self.key}: {self.path} is not there")


class Arrival:
    """Decides when all files of a run are complete.

    A file's name appears when its copy begins, so a late file must also have stopped growing.
    """

    def __init__(self) -> None:
        self._sizes: dict[Path, int] | None = None

    def settled(self, files: Sequence[ScanFile]) -> bool:
        """Return whether all files exist, are complete, and as large as at the last call."""
        sizes: dict[Path, int] = {}
        for file in files:
            try:
                sizes[file.path] = file.path.stat().st_size
            except OSError:
                sizes[file.path] = -1
        before, self._sizes = self._sizes, sizes
        if any(size <= 0 for size in sizes.values()):
            return False
        if before is not None and before != sizes:
            return False
        return all(file.is_whole() for file in files)
