"""Write files as the NSLS-II pizza boxes do, and the documents that name them.

`files.pizzabox` reads the files. All times are seconds of the scan.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rankaae_stream.files.frames import DATASETS
from rankaae_stream.files.pizzabox import APB_CHANNELS, KINDS, MIMETYPES, TICK
from rankaae_stream.files.run_writer import RunWriter
from rankaae_stream.spectrum import Floats

__all__ = ["APB_RATE", "ENCODER_RATE", "PizzaboxWriter"]

APB_RATE = 374.94e3 / 375
"""Rows of the electrometer a second: its clock divided by 375."""
ENCODER_RATE = 2000.0
"""Lines of the encoder a second."""
SPARE = 8.0
"""Seconds that the electrometer's file is allocated longer than the scan."""
HIGHEST = 3.3e6
"""The electrometer reads no further, µV."""
FLIP = 0xFFFFFE
"""Bits in which a positive word differs from the position, see `pizzabox.decode_positions`."""


class PizzaboxWriter:
    """Writes one scan's files, and then its documents.

    Parameters
    ----------
    run : RunWriter
        Holds the start document only; its time is the scan's first moment.
    root : Path
        Folder that the documents name.
    below : str
        The scan's own folder below the root; it must not exist yet.

    Attributes
    ----------
    paths : dict of Path
        By data key.
    """

    def __init__(self, run: RunWriter, root: Path, below: str) -> None:
        self._run, self._root, self._folder = run, root, root / below
        self._folder.mkdir(parents=True)
        self._began = run.time
        self._streams: dict[str, tuple[str, Mapping[str, Mapping[str, Any]], list[int]]] = {}
        self.paths: dict[str, Path] = {}

    def electrometer(
        self, key: str, time: Floats, volts: Mapping[str, Floats], offsets: Mapping[str, float]
    ) -> None:
        """Write the electrometer's rows.

        Parameters
        ----------
        key : str
            Data key of the file.
        time : (n,) array
        volts : mapping of (n,) arrays
            By input, a name of `APB_CHANNELS`; the others read their offset only.
        offsets : mapping of float
            What each input reads without current, mV; 0 where there is none.
        """
        table = np.zeros((time.size + round(SPARE * APB_RATE), 10), dtype="<i4")
        for column, name in enumerate(APB_CHANNELS):
            reading = volts.get(name, np.zeros_like(time)) * 1e6 + offsets.get(name, 0.0) * 1e3
            table[: time.size, column] = np.round(np.clip(reading, -HIGHEST, HIGHEST))
        table[: time.size, 8:] = self._clock(time)
        self._file(key, "APB", "apb.bin").write_bytes(table.tobytes())

    def encoder(
        self,
        key: str,
        time: Floats,
        counts: Floats,
        *,
        spec: str = "PIZZABOX_ENC_FILE_TXT",
        positive: bool = False,
    ) -> None:
        """Write the encoder's lines: negative positions (n,), or positive 24-bit words for them."""
        words = counts.astype(np.int64)
        words = -words ^ FLIP if positive else words
        whole = np.floor(time)
        table = np.column_stack(
            [self._began + whole, (time - whole) * 1e9, words, np.arange(words.size)]
        ).astype(np.int64)
        lines = [f"{s} {ns:09d} {word} {index} 00\n" for s, ns, word, index in table.tolist()]
        self._file(key, spec, "encoder.txt").write_text("".join(lines))

    def trigger(self, key: str, rise: Floats, fall: Floats) -> None:
        """Write when each exposure (n,) of a detector begins and ends."""
        words = np.empty((2 * rise.size, 3), dtype="<i4")
        words[0::2, 0], words[1::2, 0] = 1, 0
        words[:, 1:] = self._clock(np.column_stack([rise, fall]).ravel())
        self._file(key, "APB_TRIGGER", f"{key}.bin").write_bytes(words.tobytes())

    def frames(
        self,
        stream: str,
        spec: str,
        keys: Mapping[str, Mapping[str, Any]],
        counts: Sequence[Floats],
    ) -> None:
        """Write a detector's counts (n,) for each data key; `keys` hold what its datum chooses."""
        path = self._file(
            stream, spec, f"{stream.removesuffix('_stream')}.h5", keys, list(counts[0].shape)
        )
        with h5py.File(path, "w") as file:
            for options, values in zip(keys.values(), counts, strict=True):
                file[DATASETS[spec.upper()].format(**options)] = values

    def stop(self, seconds: float, *, streaming: bool = False) -> None:
        """Announce the files `seconds` after the start, by stream resources or resources."""
        self._run.time += seconds
        external = "STREAM:" if streaming else "FILESTORE:"
        for stream, (_, keys, shape) in self._streams.items():
            key = {"source": stream, "dtype": "array", "shape": shape, "external": external}
            self._run.stream(stream, {name: {**key, "object_name": stream} for name in keys})
        for stream, (spec, keys, _) in self._streams.items():
            if not streaming:
                path = self.paths[next(iter(keys))]
                # The encoder's path does not repeat the root.
                stated = path.relative_to(self._root) if KINDS.get(spec) == "encoder" else path
                self._run.asset(stream, spec, str(self._root), str(stated), keys)
                continue
            mimetype = MIMETYPES.get(KINDS.get(spec, ""), "application/x-hdf5")
            for key, options in keys.items():
                dataset = DATASETS.get(spec.upper(), "").format(**options)
                parameters = {"spec": spec, **({"dataset": dataset} if dataset else {}), **options}
                uri = f"file://localhost{self.paths[key]}"
                resource = self._run.stream_resource(key, mimetype, uri, parameters)
                self._run.announce(stream, resource, 0, 1)
        self._run.stop()

    def _file(
        self,
        stream: str,
        spec: str,
        name: str,
        keys: Mapping[str, Mapping[str, Any]] | None = None,
        shape: list[int] | None = None,
    ) -> Path:
        """Return the path of a new file of a stream."""
        keys = keys or {stream: {}}
        self._streams[stream] = spec, keys, shape or [-1, -1]
        path = self._folder / name
        self.paths.update(dict.fromkeys(keys, path))
        return path

    def _clock(self, seconds: Floats) -> np.ndarray:
        """Return times as the boxes write them: whole seconds and ticks, (n, 2)."""
        whole = np.floor(seconds)
        ticks = np.floor((seconds - whole) / TICK)
        return np.column_stack([self._began + whole, ticks]).astype("<i4")
