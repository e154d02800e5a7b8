"""Turn a table's columns into spectra: an energy axis in eV, and mu of every channel.

A file is answered channel by channel, as a live run is. The roles of the columns come from the
header where it names them. What has to be guessed is stated in a note; what cannot be guessed is
refused, with the option to give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from rankaae_stream.errors import Refused
from rankaae_stream.files.base import Measured, Table
from rankaae_stream.files.energies import in_ev, stated_ev
from rankaae_stream.files.roles import Role, fluorescence, role_of
from rankaae_stream.spectrum import K_EDGES, Channel, Floats, absorption

__all__ = ["ROLES", "energy_column", "measure"]

ROLES = ("energy", "mu", "i0", "it", "iff", "ir")
"""Roles of columns: energy, absorption, and the signals before the sample (i0), behind it (it),
of fluorescence (iff) and behind the reference foil (ir)."""

_FORMS: Mapping[Channel, tuple[str, tuple[str, str]]] = {
    "transmission": ("mu", ("i0", "it")),
    "fluorescence": ("mu_f", ("i0", "iff")),
    "reference": ("mu_ref", ("it", "ir")),
}
"""By channel: the role of a column with its absorption, and the roles it is calculated from."""
_WRITTEN = frozenset(("mu", "mu_f"))
Columns = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class _Signal:
    """The absorption of one channel, (n,), and the names of the columns it was calculated from."""

    channel: Channel
    mu: Floats
    names: tuple[str, ...]


def measure(table: Table, choice: Mapping[str, str] | None = None) -> tuple[Measured, ...]:
    """Form the spectra of one table: one for each channel, transmission first.

    Parameters
    ----------
    table : Table
    choice : mapping, optional
        Role to columns, by name or by number from 1; several joined with ``+``, or matched by a
        pattern, are summed: ``{"energy": "1", "i0": "I0", "iff": "mca*"}``.

    Returns
    -------
    tuple of Measured
        At least one, with a note for each thing that was guessed or converted.

    Raises
    ------
    Refused
        ``file`` when its energy or absorption cannot be found.
    """
    chosen = _chosen(choice, table) if choice else {}
    notes = list(table.notes)
    axis = chosen["energy"][0] if "energy" in chosen else energy_column(table)
    if axis is None:
        axis = 0
        notes.append("the first column was read as the energy")
    energy, converted = in_ev(table, axis)
    if chosen.keys() & {"mu", "it", "iff"}:
        columns: Columns = chosen
    else:
        columns, choices = _named(table, axis, energy)
        columns = {**columns, **chosen}
        notes += choices
    signals = _signals(table, columns, notes)
    foil = next((signal.mu for signal in signals if signal.channel == "reference"), None)
    signals = [signal for signal in signals if signal.channel != "reference"]
    if not signals:
        signals = [_only_other(table, axis, notes)]
    elif not chosen and not table.standard:
        notes.append("the absorption was calculated from {used}, as the header names them")
    return tuple(
        Measured(
            energy,
            signal.mu,
            foil,
            table.facts.get("element") or None,
            table.facts.get("edge") or None,
            table.label,
            channel=signal.channel,
            notes=(*(note.format(used=", ".join(signal.names)) for note in notes), *converted),
            e0=stated_ev(table.facts.get("e0")),
            columns=signal.names,
            kind="herfd" if "herfd" in " ".join(signal.names).lower() else table.kind,
        )
        for signal in signals
    )


def energy_column(table: Table) -> int | None:
    """Find the column of the energy, or of the angle where no energy is there."""
    found: list[tuple[bool, int, bool, int]] = []
    for i, name in enumerate(table.names):
        role = role_of(name)
        if role is None or role.name not in ("energy", "angle"):
            continue
        values = table.rows[:, i]
        values = values[np.isfinite(values)]
        if values.size and (values.size == 1 or np.ptp(values) > 0):
            in_kev = bool(table.units) and table.units[i] == "kev"
            found.append((role.name == "angle", role.rank, in_kev, i))
    return min(found)[-1] if found else None


def _chosen(choice: Mapping[str, str], table: Table) -> dict[str, list[int]]:
    """Return the columns of each role, as the user names them."""
    width, names = table.rows.shape[1], [name.lower() for name in table.names]
    codes = [code.lower() for code in table.codes]
    roles: dict[str, list[int]] = {}
    for role, wanted in choice.items():
        if role not in ROLES:
            raise Refused("file", f"no role {role!r} for a column; roles: {', '.join(ROLES)}")
        roles[role] = []
        for part in (word.strip() for word in wanted.lower().split("+")):
            if part.isascii() and part.isdecimal() and 0 < int(part[:6]) <= width:
                roles[role].append(int(part) - 1)
                continue
            known = names if part in names else codes if part in codes else ()
            found = [i for i, name in enumerate(known) if name == part][:1] or [
                i for i, name in enumerate(names) if fnmatchcase(name, part)
            ]
            if not found:
                raise Refused(
                    "file", f"no column {part!r} for {role}; {width} columns: {_listed(table)}"
                )
            roles[role] += found
    return roles


def _named(table: Table, axis: int, energy: Floats) -> tuple[Columns, list[str]]:
    """Return the columns of each role, by their names, with a note on each choice of several."""
    roles = [
        (i, role) for i, name in enumerate(table.names) if i != axis and (role := role_of(name))
    ]
    found: dict[str, Sequence[int]] = {}
    notes: list[str] = []
    for name in ("mu", "mu_f", "mu_ref"):
        fitting = [(role.rank, i) for i, role in roles if role.name == name]
        if fitting:
            found[name] = (min(fitting)[1],)
    pairs = _pairs(roles)
    if pairs:
        i0, it = pairs[0]
        if len(pairs) > 1:
            i0, it = max(pairs, key=lambda pair: _rise(energy, table.rows, *pair))
            others = ", ".join(
                f"{table.names[a]}/{table.names[b]}" for a, b in pairs if (a, b) != (i0, it)
            )
            notes.append(
                f"of several pairs {table.names[i0]}/{table.names[it]} was used, which shows the "
                f"edge most clearly; not used: {others}"
            )
        found |= {"i0": (i0,), "it": (it,)}
        place = dict(roles)[it].place
    else:
        place = ""
        fitting = [(role.rank, i) for i, role in roles if role.name == "i0"]
        if fitting:
            found["i0"] = (min(fitting)[1],)
    foils = [(role.place != place, role.rank, i) for i, role in roles if role.name == "ir"]
    if foils:
        found["ir"] = (min(foils)[2],)
    finite = energy[np.isfinite(energy)]
    inside = [
        symbol for symbol, e0 in K_EDGES.items() if finite.size and finite.min() < e0 < finite.max()
    ]
    stated = table.facts.get("element", "").strip().capitalize()
    used = {i for columns in found.values() for i in columns} | {axis}
    names = ["" if i in used else name for i, name in enumerate(table.names)]
    detector = fluorescence(names, [stated, *inside] if stated else inside)
    detector = detector or [i for i, name in enumerate(names) if "herfd" in name.lower()][:1]
    if detector:
        found["iff"] = detector
    return found, notes


def _pairs(roles: Sequence[tuple[int, Role]]) -> list[tuple[int, int]]:
    """Return pairs of chambers before and behind the sample, of the same place if possible."""
    before = [(role.rank, i, role) for i, role in roles if role.name == "i0"]
    behind = [(role.rank, i, role) for i, role in roles if role.name == "it"]
    behind = behind or [(role.rank, i, role) for i, role in roles if role.name == "i1"]
    pairs: list[tuple[int, int]] = []
    for _, it, role in sorted(behind, key=lambda pair: pair[:2]):
        same = [i for _, i, other in before if other.place == role.place]
        if before:
            pairs.append((same[0] if same else min(before, key=lambda pair: pair[:2])[1], it))
    return pairs


def _signals(table: Table, columns: Columns, notes: list[str]) -> list[_Signal]:
    """Return the absorption of each channel that the columns hold or give, the foil's last."""
    current = {role: table.rows[:, list(found)].sum(axis=1) for role, found in columns.items()}
    if "i0" not in current and current.keys() & {"it", "iff"} and not current.keys() & _WRITTEN:
        raise Refused("file", f"no i0 among {_listed(table)}; name it with --columns i0=...")
    formed = absorption(
        current.get("i0"),
        it=current.get("it"),
        ir=current.get("ir"),
        fluorescence=current.get("iff"),
    )
    if "mu" in current and "i0" not in current and "it" not in current and "ir" in current:
        # A column called reference is a current among currents, an absorption beside mu.
        columns = {**columns, "mu_ref": columns["ir"]}
        current["mu_ref"] = current["ir"]
    signals: list[_Signal] = []
    for channel, (written, currents) in _FORMS.items():
        mu, roles = formed.get(channel), currents
        if written in current:
            if mu is None or not _opposite(current[written], mu):
                mu, roles = current[written], (written,)
            else:
                names = " and ".join(_names(table, columns, currents))
                turned = _names(table, columns, (written,))[0]
                notes.append(f"{turned} has the opposite sign: {names} were used")
        if mu is not None:
            signals.append(_Signal(channel, mu, _names(table, columns, roles)))
    return signals


def _names(table: Table, columns: Columns, roles: Sequence[str]) -> tuple[str, ...]:
    used = [i for role in roles for i in columns[role]]
    return tuple(table.names[i] if table.names else str(i + 1) for i in used)


def _only_other(table: Table, axis: int, notes: list[str]) -> _Signal:
    """Return the column beside the energy where there are two; refuse where there are more."""
    width = table.rows.shape[1]
    if width == 2:
        other = 1 - axis
        notes.append(f"column {other + 1} was read as the absorption")
        name = table.names[other] if table.names else str(other + 1)
        return _Signal("transmission", table.rows[:, other], (name,))
    raise Refused(
        "file",
        f"which of the {width} columns ({_listed(table)}) is the absorption? "
        "give --columns energy=...,mu=... or energy=...,i0=...,it=... or energy=...,i0=...,iff=a+b",
    )


def _opposite(written: Floats, formed: Floats) -> bool:
    """Return whether a written absorption is that of the currents with the opposite sign."""
    good = np.isfinite(written) & np.isfinite(formed)
    if np.count_nonzero(good) < 3 or not (np.ptp(written[good]) and np.ptp(formed[good])):
        return False
    with np.errstate(all="ignore"):
        return float(np.corrcoef(written[good], formed[good])[0, 1]) < -0.9


def _rise(energy: Floats, rows: Floats, i0: int, it: int) -> float:
    """Return how much the steepest slope of mu exceeds the scatter of all, 0 without an edge."""
    mu = absorption(rows[:, i0], it=rows[:, it])["transmission"]
    good = np.isfinite(energy) & np.isfinite(mu)
    if np.count_nonzero(good) < max(0.9 * good.size, 10):
        return 0.0
    grid = np.arange(energy[good].min(), energy[good].max(), 2.0)[:50_000]
    order = np.argsort(energy[good], kind="stable")
    slopes = np.diff(np.interp(grid, energy[good][order], mu[good][order]))
    if slopes.size < 10:
        return 0.0
    middle = np.median(slopes)
    scatter = float(np.median(np.abs(slopes - middle)))
    return float(slopes.max() - middle) / scatter if scatter > 0 else 0.0


def _listed(table: Table) -> str:
    return ", ".join(table.names) if table.names else "columns without names"
