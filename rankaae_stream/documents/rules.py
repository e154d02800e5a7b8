"""Choose the runs that are XAS, and read which element, edge and channel they state.

A run states so in its start document, each beamline under keys of its own.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, cast

from rankaae_stream.edges import Stated, edge_of, read_stated
from rankaae_stream.errors import Refused
from rankaae_stream.layouts.base import Document, value_at
from rankaae_stream.spectrum import Channel

__all__ = ["Exclusion", "Rule", "RunRules", "lookup", "names_edge"]

Rule = Mapping[str, Sequence[str]]
"""Patterns by dotted key: a run fits when under every key one of them fits."""

_CHANNELS: tuple[Channel, ...] = ("transmission", "fluorescence", "pips")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A rule for runs that are not analysed, and why.

    Where `unless_model` names a kind of spectrum, such as ``herfd``, runs that fit are
    analysed by a model whose card says that it was trained on such. With `skip` they get no
    result at all, whatever they name.
    """

    reason: str
    rule: Rule
    unless_model: str = ""
    skip: bool = False


@dataclass(frozen=True, slots=True)
class RunRules:
    """Rules by which the runs of one beamline are read.

    Attributes
    ----------
    element, edge : tuple of str
        Dotted keys of the start document that name them; of several the first that
        a run has. An edge may name its element: ``Fe K``.
    channel : tuple of str
        Keys that name the channel for which a run was measured.
    primary : Channel
        This channel, where no key names one.
    xas : tuple of Rule
        A run is XAS when one of these fits; without any, every run may be.
    not_xas : tuple of Exclusion
        No run is XAS that one of these fits; the first that does gives the reason.
    others : {"refuse", "skip"}
        Whether all other runs get a published refusal, or no result. One that names an element
        which is answered here gets the refusal in either case: nobody may wait for a result
        that never comes.
    """

    element: tuple[str, ...] = ("element",)
    edge: tuple[str, ...] = ("edge",)
    channel: tuple[str, ...] = ()
    primary: Channel = "transmission"
    xas: tuple[Rule, ...] = ()
    not_xas: tuple[Exclusion, ...] = ()
    others: Literal["refuse", "skip"] = "refuse"

    @property
    def skips_unreadable(self) -> bool:
        """Whether a run without the layout's fields gets no result.

        A run that a rule of `xas` fits gets a refusal: its fields are wrong, and
        somebody has to know.
        """
        return self.others == "skip" and not self.xas

    def unwanted(self, start: Document, trained_for: Collection[str] = ()) -> str:
        """Return why a run is not XAS that can be answered, or an empty text when it is.

        `trained_for` are the kinds of spectra that the card of its edge's model names.
        """
        exclusion = self._exclusion(start, trained_for)
        if exclusion is not None:
            found = _values(exclusion.rule, start)
            return f"{exclusion.reason} ({found})" if exclusion.reason else found
        if self.xas and not any(_fits(rule, start) for rule in self.xas):
            keys = dict.fromkeys(key for rule in self.xas for key in rule)
            return f"the profile takes no run with {_values(keys, start)} for XAS"
        return ""

    def skips(self, start: Document, trained_for: Collection[str] = ()) -> bool:
        """Return whether a run that is unwanted gets no result, rather than a refusal."""
        exclusion = self._exclusion(start, trained_for)
        if exclusion is not None and exclusion.skip:
            return True
        return self.others == "skip" and not names_edge(self.stated_edge(start))

    def _exclusion(self, start: Document, trained_for: Collection[str]) -> Exclusion | None:
        """Return the first rule against a run that fits, unless a model is trained on its kind."""
        fitting = (exclusion for exclusion in self.not_xas if _fits(exclusion.rule, start))
        first = next(fitting, None)
        return None if first is None or first.unless_model in trained_for else first

    def stated_edge(self, start: Document) -> Stated:
        """Return the element and edge that a start document names."""
        return read_stated(lookup(start, self.element), lookup(start, self.edge))

    def primary_of(self, start: Document) -> Channel:
        """Return the channel for which a run was measured."""
        named = (lookup(start, self.channel) or "").lower()[:4]
        # Four letters are enough: fluo, fluorescence, trans, transmission.
        for channel in _CHANNELS:
            if named and channel.startswith(named):
                return channel
        return self.primary


def names_edge(stated: Stated) -> bool:
    """Return whether a run names an element that is answered here."""
    try:
        edge_of(stated)
    except Refused:
        return False
    return True


def lookup(doc: Document, keys: tuple[str, ...]) -> str | None:
    """Return the first of several dotted keys that a document has, as text.

    Values that are lists or tuples of one element (as XDI metadata are at BMM)
    count as that element.

    Examples
    --------
    >>> lookup({"XDI": {"Element": {"symbol": ("Fe",)}}}, ("element", "XDI.Element.symbol"))
    'Fe'
    """
    for key in keys:
        value = value_at(doc, key)
        if isinstance(value, (list, tuple)):
            several = cast("Sequence[Any]", value)
            value = several[0] if len(several) == 1 else None
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _fits(rule: Rule, start: Document) -> bool:
    return all(
        any(
            fnmatchcase(text.lower(), pattern.lower())
            for text in _texts(value_at(start, key))
            for pattern in patterns
        )
        for key, patterns in rule.items()
    )


def _values(keys: Iterable[str], start: Document) -> str:
    """List keys of a start document with their values, for a message."""
    texts = {key: "/".join(_texts(value_at(start, key))) for key in keys}
    return ", ".join(f"{key} {text!r}" if text else f"no {key}" for key, text in texts.items())


def _texts(value: Any) -> list[str]:
    """Return the parts of a value as texts; a single empty one where it is missing."""
    return list(_parts(value)) or [""]


def _parts(value: Any) -> Iterator[str]:
    # A set of names may be a list, a tuple or, as ISS's detectors, a mapping.
    if isinstance(value, (list, tuple, set, frozenset, Mapping)):
        for part in cast("Iterable[Any]", value):
            yield from _parts(part)
    elif value is not None:
        yield str(value).strip()
