"""Check that a model folder is complete, unaltered, and computes finite what-if curves."""

from pathlib import Path

import numpy as np

from rankaae_stream.checks.base import Broken, Check
from rankaae_stream.model.folder import load_model, newest_models
from rankaae_stream.model.verify import verify_model
from rankaae_stream.profile import Profile

__all__ = ["check_model", "model_checks"]


def model_checks(profile: Profile) -> list[Check]:
    """Return a check for each model that a profile uses: its own, and the shipped ones."""
    chosen = newest_models()
    for edge, own in profile.models.items():
        name = edge.lower().replace(" ", "-")
        chosen[name] = (Path(own.path).expanduser(), own.id)
    return [
        Check("models", name, lambda where=where: check_model(*where))
        for name, where in sorted(chosen.items())
    ]


def check_model(path: Path, expected_id: str | None = None) -> str:
    """Check hashes, golden pair, grid and what-if curves of a model folder.

    Parameters
    ----------
    path : Path
    expected_id : str or None
        The id that an index or a profile pins; None takes the card as it is.

    Raises
    ------
    ModelError
        When a file is missing or altered, or a graph computes something else.
    Broken
        When the grid does not rise or a curve has no finite numbers.
    """
    done = verify_model(path, expected_id)
    model = load_model(path, done.card.id, "cpu")
    if np.any(np.diff(model.card.grid.relative()) <= 0):
        raise Broken(f"{path}: the energies of the grid do not rise", "export the model again")
    for output in model.card.outputs:
        ends = [mapped.value[[0, -1]] for mapped in output.maps]
        low, high = float(np.min(ends)), float(np.max(ends))
        curves = model.what_if(output.name, np.linspace(low, high, 5))
        if not np.isfinite(curves).all():
            raise Broken(
                f"{path}: the curves for {output.name} from {low:g} to {high:g} {output.unit} hold "
                "numbers that are not finite",
                "export the model again",
            )
    pinned = "" if expected_id else "; no id pins it"
    return (
        f"{model.card.edge}, version {model.card.version}, {len(done.card.files)} files, "
        f"{done.spectra} golden spectra within {done.latent_difference:.0e}, what-if curves of "
        f"{len(model.card.outputs)} descriptors{pinned}"
    )
