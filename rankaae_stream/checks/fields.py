"""Whether a layout names what it needs, and nothing twice; told before runs are generated."""

import itertools

from rankaae_stream.checks.advice import key_of
from rankaae_stream.checks.base import Broken
from rankaae_stream.layouts.base import Layout, fields_of
from rankaae_stream.layouts.signals import ANSWERS

__all__ = ["check_fields"]

ROLES = ("energy", "i0", "it", "ir", "pips")


def check_fields(layout: Layout, name: str) -> str:
    """Look at the names alone.

    Parameters
    ----------
    layout : Layout
        Of another package: it is taken as it is.
    name : str
        What it is called.

    Raises
    ------
    Broken
        When a signal has no name, or two have the same.
    """
    named = {field.role: field.names for field in fields_of(layout)}
    if not named:
        return "the layout alone knows its fields"
    if not named.get("i0"):
        raise Broken(f"{key_of(name, 'i0')} is empty", "name the signal before the sample")
    if not any(named.get(role) for role in (*ANSWERS, "fluorescence_from")):
        raise Broken(
            "nothing is named that is measured behind the sample or beside it",
            f"set {key_of(name, 'it')}, {key_of(name, 'fluorescence')} or {key_of(name, 'pips')}",
        )
    # Later names may serve another set-up, in which they mean something else.
    firsts = {role: named[role][0] for role in ROLES if named.get(role)}
    for role, other in itertools.combinations(firsts, 2):
        if firsts[role] == firsts[other]:
            raise Broken(
                f"{firsts[role]} is named by {key_of(name, role)} and {key_of(name, other)}",
                "one field cannot be both",
            )
    return f"first names: {', '.join(f'{role} {first}' for role, first in firsts.items())}"
