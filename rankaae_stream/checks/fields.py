"""Check that a layout's settings name what it needs, and no field for two signals."""

import itertools

from rankaae_stream.checks.advice import key_of
from rankaae_stream.checks.base import Broken
from rankaae_stream.layouts.base import Layout, fields_of
from rankaae_stream.layouts.signals import ANSWERS

__all__ = ["check_fields"]

ROLES = ("energy", "i0", "it", "ir", "pips")


def check_fields(layout: Layout, name: str) -> str:
    """Check the names alone, before runs are generated, and return the first of each role.

    Parameters
    ----------
    layout : Layout
        Not checked if it cannot list its fields.
    name : str
        Of the layout, as `key_of` takes it.

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
            "no signal is named that is measured behind the sample or is its fluorescence",
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
