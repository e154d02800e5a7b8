"""Verify that a model folder is unaltered and gives the same numbers as when it was exported."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankaae_stream.errors import ModelError
from rankaae_stream.model.card import ModelCard
from rankaae_stream.model.domain import edge_aligned
from rankaae_stream.model.folder import checked_files
from rankaae_stream.model.networks import GRAPHS, PARTIAL, Model

__all__ = ["TOLERANCE", "Verified", "largest_difference", "verify_model"]

TOLERANCE = 5e-5
"""Largest difference allowed between torch and ONNX: absolute below 1, relative above.

In single precision the order of summation, which depends on the processor, matters: the
same networks differed by 1.0e-5 on one machine and 1.1e-5 on another. A latent changes by
about 1 over a descriptor's range, so this is a ten-thousandth of the narrowest interval."""

AGAIN = "reinstall rankaae-stream or export the model again"


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A verified model.

    `latent_difference` and `flat_difference` are the largest differences of encoder and
    decoder from golden.npz, which holds `spectra` spectra.
    """

    card: ModelCard
    spectra: int
    latent_difference: float
    flat_difference: float


def verify_model(path: Path, expected_id: str | None) -> Verified:
    """Compare every hash, and run the networks on the spectra of golden.npz.

    Parameters
    ----------
    path : Path
        Folder with card.json and the files it names.
    expected_id : str or None
        sha256 of card.json; None for a model that is in no index.

    Returns
    -------
    Verified

    Raises
    ------
    ModelError
        When a file is missing, altered or unreadable, or a number differs by more than
        `TOLERANCE`; the message names the file and the fix.
    """
    card, contents = checked_files(path, expected_id)
    if "golden.npz" not in contents:
        raise ModelError(
            f"{path / 'card.json'} names no golden.npz to compare the networks' numbers with; "
            f"{AGAIN}"
        )
    flat, latent, reconstruction = _golden(contents["golden.npz"], card, path / "golden.npz")
    try:
        model = Model(card, contents, "cpu")
        encoded, decoded = model.encode(flat), model.decode(latent)
        kinds = model.judge(
            edge_aligned(card.grid.relative(), flat.astype(np.float64), card.domain.aligned)
        )
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        raise ModelError(f"{path}: {', '.join(GRAPHS)} do not run ({error}); {AGAIN}") from error
    if kinds.shape != (len(flat), len(card.domain.kinds)) or not np.isfinite(kinds).all():
        raise ModelError(
            f"{path / 'domain.onnx'} gives {kinds.shape[1:]} numbers a spectrum for "
            f"{len(card.domain.kinds)} kinds of the card; {AGAIN}"
        )
    if card.partial is not None:
        part, answer = _golden_parts(contents["golden.npz"], path / "golden.npz")
        _difference(model.answer_parts(part), answer, path / PARTIAL)
    return Verified(
        card,
        len(flat),
        _difference(encoded, latent, path / "encoder.onnx"),
        _difference(decoded, reconstruction, path / "decoder.onnx"),
    )


def _golden(content: bytes, card: ModelCard, where: Path) -> list[NDArray[np.floating]]:
    """Read spectra (n, g), their latents (m, n, l) and reconstructions (m, n, g)."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            flat, latent, curves = (golden[key] for key in ("flat", "latent", "reconstruction"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{where} holds no golden pair ({error}); {AGAIN}") from error
    n, points = flat.shape[0] if flat.ndim else 0, card.grid.points
    wanted = (n, points), (card.members, n, card.latent), (card.members, n, points)
    found = flat.shape, latent.shape, curves.shape
    if n == 0 or found != wanted:
        raise ModelError(
            f"{where} holds arrays of shapes {found}, its card needs {wanted} with at least one "
            f"spectrum; {AGAIN}"
        )
    return [flat, latent, curves]


def _golden_parts(content: bytes, where: Path) -> tuple[NDArray[np.floating], ...]:
    """Read prepared parts (n, 2 g) and what was answered of them (n, 2, 2 k + 1)."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            return golden["part"], golden["answer"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{where} holds no parts and answers ({error}); {AGAIN}") from error


def largest_difference(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Return the difference that `TOLERANCE` limits, of arrays of one shape; NaN if any is NaN."""
    return float((np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))).max())


def _difference(found: NDArray[np.floating], wanted: NDArray[np.floating], where: Path) -> float:
    if found.shape != wanted.shape:
        raise ModelError(f"{where} gives shape {found.shape}, golden.npz {wanted.shape}; {AGAIN}")
    largest = largest_difference(found, wanted)
    if not largest <= TOLERANCE:
        raise ModelError(
            f"{where} differs from golden.npz by {largest:.2g}, at most {TOLERANCE:.0e} allowed; "
            f"try another onnxruntime (pip install --upgrade onnxruntime), else {AGAIN}"
        )
    return largest
