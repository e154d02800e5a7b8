"""Turn the electrometer's microvolts into currents and mu, with flags of unknown gains."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from rankaae_stream.files.pizzabox import APB_CHANNELS
from rankaae_stream.layouts.base import Document
from rankaae_stream.layouts.rebin import Bins
from rankaae_stream.report import Flag
from rankaae_stream.spectrum import Channel, Floats, absorption

__all__ = ["Currents", "number_of", "text_of"]


class Currents:
    """The inputs of one run: their roles, offsets and gains.

    Parameters
    ----------
    inputs, offset, gain
        See `layouts.pizzabox_names.PizzaboxNames`.
    start : Document

    Attributes
    ----------
    used : tuple of str
        Inputs that are needed.
    flags : list of Flag
        Offsets and gains that the start document does not state.
    """

    def __init__(self, inputs: Mapping[str, str], offset: str, gain: str, start: Document) -> None:
        self._inputs = inputs
        self.used = tuple(dict.fromkeys(inputs.values()))
        self.flags: list[Flag] = []
        self._offset = {name: self._of_input(start, offset, name) for name in self.used}
        self._gain = {name: self._of_input(start, gain, name) for name in self.used}

    def absorption(self, bins: Bins, without: Collection[Channel]) -> dict[Channel, Floats]:
        """Return mu (b,) of every channel of the inputs, not finite where a current vanishes."""
        currents = {role: self._current(bins, role) for role in self._inputs if role not in without}
        return absorption(**currents)

    def frames(self, bins: Bins, channel: Channel, counts: Floats) -> dict[Channel, Floats]:
        """Return mu (b,) of a detector's `counts` (b,), with the foil on their energies."""
        # Counts are positive whatever the sign of the amplifiers.
        i0 = np.abs(self._current(bins, "i0"))
        behind = {r: self._current(bins, r) for r in ("it", "ir") if r in self._inputs}
        mu = absorption(i0, **{**behind, channel: counts})
        return {name: values for name, values in mu.items() if name != "transmission"}

    def levels(self, bins: Bins) -> dict[str, Floats]:
        """Return what each input read, mV, (b,) by role."""
        return {role: np.abs(bins.signals[name]) / 1e3 for role, name in self._inputs.items()}

    def _of_input(self, start: Document, template: str, name: str) -> float:
        """Return an input's offset or gain; 0 and a flag if the start document has no number."""
        if not template:
            return 0.0
        key = template.format(n=APB_CHANNELS.index(name) + 1)
        value = number_of(start, key)
        if value is not None:
            return value
        self.flags.append(
            Flag(
                "unknown_gain",
                "warning",
                None,
                "",
                f"the start document has no number {key!r} for {name}, and 0 was taken: as a gain "
                "it changes the height of mu only, as an offset the shape of a low signal's too",
            )
        )
        return 0.0

    def _current(self, bins: Bins, role: str) -> Floats:
        name = self._inputs[role]
        return (bins.signals[name] - self._offset[name] * 1e3) / 1e6 / 10 ** self._gain[name]


def text_of(start: Document, key: str) -> str:
    """Return a start key's text, empty where it has none."""
    value = start.get(key)
    return value.strip() if isinstance(value, str) else ""


def number_of(start: Document, key: str) -> float | None:
    """Return a start key's finite number, also one written as text, or None."""
    value: Any = start.get(key)
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
