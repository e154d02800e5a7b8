"""Convert an energy axis to eV from keV, from angles of the monochromator, or from E - E0."""

import re
from collections.abc import Mapping

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import Table
from rankaae_stream.files.roles import role_of
from rankaae_stream.spectrum import K_EDGES, Floats

__all__ = ["in_ev", "stated_ev"]

HC = 12398.4198
"""Planck's constant times the speed of light, eV Å."""
LATTICE = {"si": 5.43102, "ge": 5.65791, "diamond": 3.56712, "c": 3.56712}
"""Lattice constants, Å."""
_EV = (min(K_EDGES.values()) - 500.0, max(K_EDGES.values()) + 1500.0)
"""Lowest and highest energy that a scan of one of our edges can have, eV."""
_HIGHEST_KEV = 120.0
_TO_RADIANS = {"mrad": 1e-3, "rad": 1.0, "radian": 1.0, "radians": 1.0}


def in_ev(table: Table, axis: int) -> tuple[Floats, list[str]]:
    """Return a table's energies, (n,), eV, with a note on what was converted.

    Parameters
    ----------
    table : Table
    axis : int
        Its column of energies or of the monochromator's angles.

    Raises
    ------
    Refused
        ``file`` when the column holds no numbers, or angles without a d-spacing;
        ``not_xas`` when it holds k or R.
    """
    values = table.rows[:, axis]
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise Refused("file", "the energy column holds no number")
    low, high = float(finite.min()), float(finite.max())
    name = table.names[axis] if table.names else ""
    role, unit = role_of(name), table.units[axis] if table.units else ""
    if _is_k(table, axis, low, high):
        raise Refused("not_xas", "the file holds chi(k) or its transform, not mu(E)")
    if (role is not None and role.name == "angle") or unit.startswith(("deg", "°", "rad", "mrad")):
        return _from_angle(table, values, name, unit)
    spacing = _spacing(table.facts)
    unsure = role is None or role.rank > 3
    if high < _HIGHEST_KEV and low > 0 and not (unsure and unit != "kev"):
        return values * 1000.0, [f"energies of {low:g}-{high:g} were read as keV"]
    if _EV[0] / 1000 <= low and high <= _EV[1] / 1000 and spacing is None:
        return values * 1000.0, [f"energies of {low:g}-{high:g} were read as keV"]
    if low > 4.0 and high < 80.0:
        return _from_angle(table, values, name or "the energy column", unit)
    e0 = stated_ev(table.facts.get("e0"))
    if low < 0 < high < 5000.0 and e0 is not None:
        return values + e0, [
            f"energies relative to the edge: E0 = {e0:g} eV of the header was added"
        ]
    return values, []


def stated_ev(text: str | None) -> float | None:
    """Return an energy that a header states, eV, or None where it states none.

    Examples
    --------
    >>> stated_ev("7.112 keV"), stated_ev("0"), stated_ev(None)
    (7112.0, None, None)
    """
    found = re.match(r"\s*(\d{1,6}(?:\.\d*)?)", text or "")
    value = float(found[1]) if found else 0.0
    value *= 1000.0 if value < _HIGHEST_KEV else 1.0
    return value if value > 100.0 else None


def _from_angle(table: Table, values: Floats, name: str, unit: str) -> tuple[Floats, list[str]]:
    """Return the energies, eV, by Bragg's law, with a note."""
    spacing = _spacing(table.facts)
    finite = values[np.isfinite(values)]
    span = f"{name} runs from {finite.min():g} to {finite.max():g}"
    if spacing is None:
        raise Refused(
            "file",
            f"{span}, which looks like the angle of the monochromator in degrees, and the header "
            "states no d-spacing; convert it to eV, or name another column: --columns energy=...",
        )
    angle = values * _TO_RADIANS.get(unit, np.pi / 180.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = HC / (2.0 * spacing * np.abs(np.sin(angle)))
    return energy, [f"{span} and was converted to eV with the d-spacing of {spacing:.5f} Å"]


def _spacing(facts: Mapping[str, str]) -> float | None:
    """Return the d-spacing, Å, that a header states as a number or by its crystal."""
    stated = re.match(r"\s*(\d{1,2}\.\d+)", facts.get("d_spacing", ""))
    crystal = facts.get("crystal", "")
    written = stated or re.search(r"\bd\s*=\s*(\d{1,2}\.\d+)", crystal, re.IGNORECASE)
    if written and 0.3 < float(written[1]) < 20.0:
        return float(written[1])
    planes = re.search(
        r"(Si|Ge|Diamond|C)\s*\(?\s*(\d)\s*,?\s*(\d)\s*,?\s*(\d)\s*\)?", crystal, re.I
    )
    if planes is None:
        return None
    order = sum(int(planes[i]) ** 2 for i in (2, 3, 4))
    return LATTICE[planes[1].lower()] / order**0.5 if order else None


def _is_k(table: Table, axis: int, low: float, high: float) -> bool:
    """Return whether the axis is a wave number k or a distance R instead of an energy."""
    name = table.names[axis].lower() if table.names else ""
    chi = any(re.match(r"k?\d?\*?\s*chi", other.lower()) for other in table.names)
    axis_of_chi = re.fullmatch(r"[kr]\b.*", name) is not None and high < 30.0
    return (chi or not name or axis_of_chi) and -0.1 <= low < 3.0 and 5.0 < high < 30.0
