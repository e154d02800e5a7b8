"""Say how a service is: the noun that health, metrics, logs and the page are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ServiceState"]


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of a service at one moment; times are seconds since the epoch, 0 for never.

    Attributes
    ----------
    profile, profile_hash : str
        Name, and the sha256 of the settings that can change a number.
    models : mapping of str
        By edge: name and version.
    device : str
        Where these run, and why not on a GPU where they might.
    began : float
    source, source_failing : str
        The bus, and why nothing comes from it now, or empty.
    source_note : str
        How the bus comes by what is new, where that can change; nothing is wrong.
    lag : int or None
        Messages that wait on the bus; None where it does not tell.
    messages_refused : mapping of int
        Messages that were no documents, by reason.
    documents : mapping of int
        Taken, by name.
    last_document, last_result : float
    waiting : int
        Documents that are kept and not handled yet, and `oldest_waiting` since when the oldest
        waits.
    open_runs, answered : int
    refused : mapping of int
        Runs and spectra refused, by the refusal's name.
    unsent : int
        Final results in the spool, and `oldest_unsent` since when the oldest waits.
    kept_bytes : int
        Documents on the disk, of runs that have not ended.
    quarantined : int
        Runs put aside because the worker died of them.
    worker : {"starting", "running", "stalled", "stopped"}
    restarts : mapping of int
        Of the worker, by reason: ``crash``, ``stalled``, ``memory``.
    memory : int
        Resident bytes of the worker.
    failing : str
        Why results are not taken, or what else is wrong; empty where nothing is.
    """

    profile: str
    profile_hash: str
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    device: str = ""
    began: float = 0.0
    source: str = ""
    source_failing: str = ""
    source_note: str = ""
    lag: int | None = None
    messages_refused: Mapping[str, int] = field(default_factory=dict[str, int])
    documents: Mapping[str, int] = field(default_factory=dict[str, int])
    last_document: float = 0.0
    last_result: float = 0.0
    waiting: int = 0
    oldest_waiting: float = 0.0
    open_runs: int = 0
    answered: int = 0
    refused: Mapping[str, int] = field(default_factory=dict[str, int])
    unsent: int = 0
    oldest_unsent: float = 0.0
    kept_bytes: int = 0
    quarantined: int = 0
    worker: Literal["starting", "running", "stalled", "stopped"] = "starting"
    restarts: Mapping[str, int] = field(default_factory=dict[str, int])
    memory: int = 0
    failing: str = ""
