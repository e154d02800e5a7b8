"""Say what a bus of documents is to the service: Kafka, bluesky's 0MQ proxy, Tiled."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from rankaae_stream.errors import describe
from rankaae_stream.layouts.base import Document
from rankaae_stream.printable import get_logger
from rankaae_stream.service.decode import NotADocument

__all__ = ["Source", "Taker", "keep", "refuse"]

logger = get_logger(__name__)

SAID, OF = 20, 1000
"""So many messages of a reason that are no documents are logged each, later one of so many."""


class Taker(Protocol):
    """Takes documents of a bus in their order and keeps them on the disk."""

    def take(self, name: str, doc: Document) -> None:
        """Take a document; it is kept once `flush` has returned.

        Raises
        ------
        NotADocument
            When it holds what cannot be kept, such as a number of more than 64 bits.
        """
        ...

    def flush(self) -> None:
        """Bring to the disk what was taken: only then may a bus forget it."""
        ...

    def full(self) -> bool:
        """Return whether so much waits that a bus should pause; it goes on being polled."""
        ...


class Source(Protocol):
    """A bus.

    Attributes
    ----------
    name : str
        ``kafka``, ``zmq`` or ``tiled``, with the address, for people.
    refused : Counter of str
        Messages that were no documents, by reason: ``pickle``, ``size``, ``format`` ...
    """

    name: str
    refused: Counter[str]

    def run(self, taker: Taker, stopping: threading.Event) -> None:
        """Take documents until `stopping` is set; try again by itself after every failure.

        Raises
        ------
        ConfigurationError
            Where no trial can help: a topic that the key may not read, a wrong address.
        """
        ...

    def failing(self) -> str:
        """Return why nothing comes now, or an empty text."""
        ...

    def note(self) -> str:
        """Return how it comes by what is new, for people, or an empty text; nothing is wrong."""
        ...

    def lag(self) -> int | None:
        """Return how many messages wait on the bus; None where that is not known."""
        ...


def keep(taker: Taker, stopping: threading.Event, say: Callable[[str], object]) -> bool:
    """Flush until that works, for a bus that does not give again what it gave.

    Parameters
    ----------
    taker : Taker
    stopping : threading.Event
        Ends the trials.
    say : callable
        Receives why it does not work, and an empty text once it works again.

    Returns
    -------
    bool
        Whether all is on the disk.
    """
    failed = False
    while True:
        try:
            taker.flush()
        except Exception as error:  # noqa: BLE001 - say a full disk, which gets room again
            failed = True
            say(f"documents cannot be kept: {describe(error)}")
            if stopping.wait(1.0):
                return False
        else:
            if failed:
                say("")
            return True


def refuse(refused: Counter[str], error: NotADocument, what: str, where: str = "") -> None:
    """Count what is no document, and log it: of very many a few, as a wrong topic brings.

    Parameters
    ----------
    refused : Counter of str
        Of the bus, by reason.
    error : NotADocument
    what : str
        ``a message``, ``a document of ...``.
    where : str
        Its place on the bus.
    """
    refused[error.reason] += 1
    count = refused[error.reason]
    if count <= SAID or count % OF == 0:
        place = f" ({where})" if where else ""
        so_far = f"; {count} of this kind so far" if count >= SAID else ""
        logger.warning("%s is not taken: %s%s%s", what, error.message, place, so_far)
