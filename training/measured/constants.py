"""Read shifts of standards whose spectra may not be shipped: committed constants.

Of an element that has no spectrum to ship, or none of a second structure, somebody
who has one measures where the model's residual is lowest; the number enters
`data/standards/constants.toml` with its source and the command that found it.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from training.folders import STANDARDS

__all__ = ["CONSTANTS", "Constant", "load"]

CONSTANTS = STANDARDS / "constants.toml"


@dataclass(frozen=True, slots=True)
class Constant:
    """One compound's theory shift.

    Attributes
    ----------
    element, compound : str
    oxidation_state : float
    shift, uncertainty : float
        Added to its foil-calibrated energies the residual is lowest, and one standard
        deviation of that as a theory shift, eV.
    estimate : float
        Valence that the model then gave.
    source, command : str
        Whose spectrum, and what found the shift.
    """

    element: str
    compound: str
    oxidation_state: float
    shift: float
    uncertainty: float
    estimate: float
    source: str
    command: str


def load(element: str, path: Path = CONSTANTS) -> tuple[Constant, ...]:
    """Read the constants of an element; empty where there are none."""
    if not path.is_file():
        return ()
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("constant", [])
    return tuple(Constant(**row) for row in rows if row["element"] == element)
