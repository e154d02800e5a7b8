"""Find the role of a column by its name: energy, angle, absorption or one of the signals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["UNITS", "Role", "fluorescence", "is_axis", "role_of", "split_unit"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


UNITS = _set(
    "ev kev deg degree degrees ° rad radian radians mrad a na ua ma pa v mv uv s sec ms us hz "
    "counts count cts cps c/s arb arb. a.u. au 1/cm mm um"
)
"""Units that may follow a name, in lower case."""

_PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "mu_ref": r"mu_?r|mu_?(ref|foil)\w*|ref\w*_(mu|xmu|abs\w*)|xmu_?ref\w*|abs\w*_ref\w*"
        r"|ln_?i_?[t1]_?(over_?)?i_?(r\w*|2)",
        "mu_f": r"mu_?f\w*|(fluo\w*|ff|if+)_?(over_?)?i_?0|norm\w*_fluo\w*",
        "mu": r"x?mu|mu_?e|mu_?t\w*|x?mux|norm(ali[sz]ed)?(_\w+)?|flat(tened)?(_\w+)?|abs"
        r"|absorb\w*|absorp\w*|xanes|xas|ln_?i_?0_?(over_?)?i_?[t1]\w*",
        "i0": r"i_?0|i_?o|izero|mon(itor)?|(ic|ion|ion_?ch\w*)_?0|incoming_beam|incident\w*",
        "it": r"i_?t|i_?t(r|rans\w*)|trans\w*",
        "i1": r"i_?1|(ic|ion|ion_?ch\w*)_?1",
        "ir": r"i_?r|i_?2|(i_?)?(ref|foil)\w*|(ic|ion|ion_?ch\w*)_?2",
    }
)
_FLUORESCENCE = re.compile(r"(i_?f+|i_?fl\w*|fluo\w*?|fl|ff|pips|lytle|[tp]?fy)_?(\d*)")
_NO_SIGNAL = _set(
    "gain sens sensitivity offset offsets dark time background bkg err error sigma std status "
    "range amp units unit noise icr ocr"
)
_NO_ENERGY = re.compile(
    r"ring|loss|gap|err|offset|resol|edge|transfer|emission|analy|deposit|xes|herfd|undulator"
)
_ASKED = _set("requested request setpoint sp set target nominal drive demand")
_FOUND = _set(
    "achieved attained fbk feedback readback rbv rb enc encoder real actual measured obs observed"
)
_DETECTOR = re.compile(r"dtc|sdd|^ge_?#|mca|xmap|vortex|ketek|xs_?ch|fluo")


@dataclass(frozen=True, slots=True)
class Role:
    """The role of a column, as its name states it.

    `rank` is 0 for the plain name of the role and higher for names that only contain it;
    `place` is the rest of the name, such as the hutch of ``I0_eh2``.
    """

    name: str
    rank: int
    place: str = ""


def role_of(name: str) -> Role | None:
    """Return a column's role, or None for an unknown name.

    Examples
    --------
    >>> role_of("I0_eh2")
    Role(name='i0', rank=1, place='eh2')
    >>> role_of("Achieved Energy (eV)").name
    'energy'
    """
    text = _words(split_unit(name)[0])
    words = text.split("_")
    axis = _axis(text, words)
    if axis is not None or not text:
        return axis
    if _NO_SIGNAL & set(words):
        return None
    for rank, part, place in (
        (0, text, ""),
        (1, words[0], "_".join(words[1:])),
        (2, words[-1], "_".join(words[:-1])),
    ):
        for role, pattern in _PATTERNS.items():
            if re.fullmatch(pattern, part):
                return Role(role, rank, place)
        if rank == 0 and _FLUORESCENCE.fullmatch(part) and "herfd" not in text:
            return Role("iff", 0)
    return None


def is_axis(name: str) -> bool:
    """Return whether a name is one of the energy or of the monochromator's angle."""
    role = role_of(name)
    return role is not None and role.name in ("energy", "angle")


def split_unit(name: str) -> tuple[str, str]:
    """Split a name and its unit: ``energy (eV)``, ``energy eV`` or ``energy_eV``."""
    for pattern in (r"(.+?)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]", r"(.+?)[\s_/,]+([^\s_/,]+)"):
        found = re.fullmatch(pattern, name.strip())
        if found and found[2].lower() in UNITS:
            return found[1], found[2].lower()
    return name.strip(), ""


def fluorescence(names: Sequence[str], symbols: Sequence[str]) -> list[int]:
    """Find the columns of the fluorescence detector, which are to be summed.

    Parameters
    ----------
    names : sequence of str
    symbols : sequence of str
        Elements whose K edge the scan crosses: a column may be named after their lines.

    Returns
    -------
    list of int
        Indices; empty for unknown names, or names that could mean different lines.
    """
    texts = {
        i: text
        for i, name in enumerate(names)
        if "herfd" not in (text := _words(name)) and not _NO_SIGNAL & set(text.split("_"))
    }
    plain = [(i, found) for i, text in texts.items() if (found := _FLUORESCENCE.fullmatch(text))]
    if plain:
        first = plain[0][1][1]
        whole = [i for i, found in plain if found[1] == first and not found[2]]
        return whole[:1] or [i for i, found in plain if found[1] == first]
    for symbol in symbols:
        line = re.compile(rf"(?:^|_){symbol.lower()}(?:_?k(?:_?a(?:lpha)?)?\d*|\d*)(?:_|$)")
        found = [i for i, text in texts.items() if line.search(text)]
        for better in ("sum|total", "dtc|corr"):
            found = [i for i in found if re.search(better, texts[i])] or found
        if found:
            return found[:1] if re.search("sum|total", texts[found[0]]) else found
    families: dict[str, list[int]] = {}
    for i, text in texts.items():
        # The first number counts the detectors, a second one the lines.
        stem = re.sub(r"\d+", "#", text, count=1)
        if _DETECTOR.search(stem):
            families.setdefault(stem, []).append(i)
    corrected = {stem: found for stem, found in families.items() if "dtc" in stem} or families
    return next(iter(corrected.values())) if len(corrected) == 1 else []


def _words(name: str) -> str:
    """Return a name's words, lower case, joined by ``_``: ``EnergyFeedback (eV)`` has three."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name)
    return "_".join(re.findall(r"[a-z0-9]+", parted.lower()))


def _axis(text: str, words: Sequence[str]) -> Role | None:
    angle = re.fullmatch(r"(mono_?)?(angle|theta|bragg|bragg_?angle)(_\w+)?|mono_?th", text)
    if angle and "energ" not in text:
        return Role("angle", 0 if words[-1] in {*_FOUND, "o"} else 1)
    energy = re.fullmatch(r"e|en|ene|[mk]?ev|hv|\w*energ(y|ie|ia)(_\w+)?", text)
    if energy and not _NO_ENERGY.search(text):
        if _ASKED & set(words):
            return Role("energy", 3)
        if text in ("energy", "e", "en", "ene", "energie", "ev", "kev"):
            return Role("energy", 0)
        return Role("energy", 1 if _FOUND & set(words) else 2)
    return Role("energy", 4) if re.fullmatch(r"mono\w*|e_\w+", text) else None
