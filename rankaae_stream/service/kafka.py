"""Take documents from Kafka, and let it forget them only when they are on the disk.

An offset is stored after the taker has flushed, so that a service that is killed gets again
what it had not kept. The broker keeps the offsets of a group for some days only, seven by
default; ours are also kept in a file, so that a service that was off for longer goes on where
it was, and counts as ``expired`` what the broker has forgotten meanwhile.
"""

# pyright: basic
# confluent_kafka's types are those of its C functions in part only

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rankaae_stream.addresses import refuse_secret
from rankaae_stream.errors import ConfigurationError, describe
from rankaae_stream.printable import get_logger, printable
from rankaae_stream.private import open_private, private_folder
from rankaae_stream.service.decode import MOST, NotADocument, decode
from rankaae_stream.service.kafka_settings import SECRETS
from rankaae_stream.service.source import Taker, refuse

__all__ = ["KafkaBus"]

logger = get_logger(__name__)

BATCH = 500
"""Messages between two flushes, at most."""
POLL = 0.2
"""Seconds that a poll waits; the broker expels who does not poll for 5 minutes."""
ANSWER = 5.0
"""Seconds that the broker may take to tell offsets, when partitions are given."""
LONGEST = 60.0
"""Seconds between two trials, at most."""

Place = tuple[str, int]
"""A topic and the number of a partition."""


class KafkaBus:
    """Documents of Kafka topics, as bluesky-kafka publishes them.

    Parameters
    ----------
    servers : str
        ``host:port``, with commas.
    topics : sequence of str
        One that starts with ``^`` is a regular expression.
    group : str
        The consumer group; a service of its own each, such as ``xas-<beamline>-<profile>``.
    first : {"latest", "earliest"}
        What is taken by a group that has never taken anything: documents from now on, or all
        that the broker holds.
    folder : Path, optional
        Where the offsets are kept, beside the broker's.
    settings : mapping, optional
        Of the connection, for librdkafka; see `kafka_settings.read_settings`.
    most : int
        Bytes of a message.
    consumer : callable, optional
        Makes the consumer from its configuration; confluent_kafka's own by default.

    Attributes
    ----------
    name : str
    refused : Counter of str
        Messages that were no documents, by reason, and ``expired``: those that the broker forgot
        before they were read.

    Raises
    ------
    ConfigurationError
        When an address holds a secret, librdkafka is missing, or does not take a setting.

    Notes
    -----
    Documents of one run keep their order where they have one key, as NSLS-II's and ISIS's have,
    or where the topic has one partition.
    """

    def __init__(
        self,
        servers: str,
        topics: Sequence[str],
        group: str,
        *,
        first: Literal["latest", "earliest"] = "latest",
        folder: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        most: int = MOST,
        consumer: Callable[..., Any] | None = None,
    ) -> None:
        if find_spec("confluent_kafka") is None:
            raise ConfigurationError("Kafka's client is missing: pip install rankaae-stream[kafka]")
        refuse_secret(servers, SECRETS["sasl.password"], "the address of Kafka")
        if not (servers.strip() and group.strip() and topics and all(topics)):
            raise ConfigurationError("Kafka needs host:port, a topic and a group")
        self.name = f"kafka {servers} {','.join(topics)}"
        self.refused: Counter[str] = Counter()
        self._servers, self._topics, self._group = servers, list(topics), group
        self._first, self._most = first, most
        self._offsets = _Offsets(folder, group)
        self._make = consumer or _confluent
        self._settings = {
            # What is asked for more often than by default, so that a topic is found that is made
            # later, and that a broker is known to be there again.
            "topic.metadata.refresh.interval.ms": 10_000,
            "statistics.interval.ms": 2000,
            # Twenty lines a second while a broker is away; what it comes to is said once, below.
            "log_level": 2,
            # A service that was killed counts as there for as long, and its successor waits.
            "session.timeout.ms": 10_000,
            **(settings or {}),
            "bootstrap.servers": servers,
            "group.id": group,
            # Where a group begins is said when it is given partitions; this is for messages that
            # the broker forgets while they wait, of which what is left is taken.
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "enable.auto.commit": True,  # of what was stored, by librdkafka's thread
            "auto.commit.interval.ms": 1000,
            "allow.auto.create.topics": False,
            "error_cb": self._heard,
            "stats_cb": self._measured,
        }
        self._troubles: dict[str, str] = {}
        self._wrong = ""
        self._next: dict[Place, int] = {}  # offset of the next message, of each partition
        self._unkept: dict[Place, int] = {}  # the same, of what is taken and not flushed
        self._paused = False
        self._lag: int | None = None
        self._lag_due = 0.0
        self._begin()
        self._open().close()  # a wrong setting shows here, not when the service runs

    def failing(self) -> str:
        """Return why nothing comes now, or an empty text."""
        troubles = dict(self._troubles)
        if "broker" in troubles or any(key.startswith("topic") for key in troubles):
            troubles.pop("group", None)  # which follows from these
        return "; ".join(troubles.values())

    def note(self) -> str:
        """Return an empty text: there is one way to take messages."""
        return ""

    def lag(self) -> int | None:
        """Return how many messages wait; None while no partition has told."""
        return self._lag

    def run(self, taker: Taker, stopping: threading.Event) -> None:
        """Take documents until `stopping` is set; see `Source`."""
        wait = 1.0
        while not stopping.is_set():
            began = time.monotonic()
            self._begin()
            consumer = self._open()
            try:
                consumer.subscribe(
                    self._topics, on_assign=self._given, on_revoke=self._taken, on_lost=self._taken
                )
                self._consume(consumer, taker, stopping)
            except ConfigurationError:
                raise
            except Exception as error:
                self._troubles["broker"] = f"Kafka at {self._servers}: {describe(error)}"
                logger.exception("the connection to Kafka is made anew")
                wait = 1.0 if time.monotonic() - began > LONGEST else min(2 * wait, LONGEST)
                stopping.wait(wait)
            finally:
                consumer.close()

    # ---- the loop ------------------------------------------------------------------------

    def _begin(self) -> None:
        self._next, self._unkept, self._paused, self._lag = {}, {}, False, None
        self._troubles["broker"] = f"Kafka at {self._servers} has not answered yet"
        self._without_partitions()

    def _open(self) -> Any:
        from confluent_kafka import KafkaException

        try:
            return self._make(self._settings, logger=logger)
        except (KafkaException, TypeError, ValueError) as error:
            text = str(getattr(error, "args", [error])[0])
            raise ConfigurationError(f"Kafka does not take a setting: {text}") from error

    def _consume(self, consumer: Any, taker: Taker, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._pause(consumer, taker.full() or bool(self._unkept))
            message = consumer.poll(POLL)
            messages = [] if message is None else [message]
            if messages:  # and what has come with it, which is there already
                messages += consumer.consume(BATCH - 1, timeout=0.0)
            for each in messages:
                self._take(consumer, each, taker)
            if self._wrong:
                raise ConfigurationError(self._wrong)
            self._keep(consumer, taker)
            self._count_lag(consumer)

    def _pause(self, consumer: Any, full: bool) -> None:
        partitions = consumer.assignment()
        if full and partitions:
            consumer.pause(partitions)  # each time: some may be new
        elif self._paused:
            consumer.resume(partitions)
        self._paused = full

    def _take(self, consumer: Any, message: Any, taker: Taker) -> None:
        if message.error() is not None:
            self._heard(message.error(), message.topic() or "")
            return
        self._troubles.pop("broker", None)
        place = (message.topic(), message.partition())
        if message.offset() - self._next.get(place, message.offset()) > 1:
            self._count_expired(consumer, place, message.offset())
        try:
            taker.take(*decode(message.value() or b"", most=self._most))
        except NotADocument as error:
            where = f"{message.topic()} at {message.partition()}/{message.offset()}"
            refuse(self.refused, error, "a message", where)
        self._next[place] = self._unkept[place] = message.offset() + 1

    def _count_expired(self, consumer: Any, place: Place, offset: int) -> None:
        """Count messages that the broker forgot while they waited for this service.

        Offsets also lack where a topic is compacted or has transactions: then the broker still
        has what is before them.
        """
        from confluent_kafka import KafkaException, TopicPartition

        try:
            low, _ = consumer.get_watermark_offsets(TopicPartition(*place), timeout=1.0)
        except (KafkaException, TypeError):  # TypeError: it timed out, and returned None
            return
        expected = self._next[place]
        if low > expected:
            self._say_expired(place[0], min(low, offset) - expected)

    def _say_expired(self, topic: str, count: int) -> None:
        self.refused["expired"] += count
        logger.warning("Kafka has forgotten %d messages of %s", count, topic)

    def _keep(self, consumer: Any, taker: Taker) -> None:
        """Flush what was taken and let the broker know; try again later where that fails."""
        if not self._unkept:
            return
        try:
            taker.flush()
        except Exception as error:  # noqa: BLE001 - say a full disk; nothing more is taken
            self._troubles["disk"] = f"documents cannot be kept: {describe(error)}"
            return
        self._troubles.pop("disk", None)
        kept, self._unkept = self._unkept, {}
        self._offsets.keep(kept)
        self._store(consumer, kept)

    def _store(self, consumer: Any, kept: Mapping[Place, int]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        try:
            consumer.store_offsets(offsets=[TopicPartition(*at, kept[at]) for at in kept])
        except KafkaException as error:  # given to another since; it gets them again
            logger.info("offsets are not stored: %s", error)

    def _count_lag(self, consumer: Any) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        if time.monotonic() < self._lag_due:
            return
        # While nothing is fetched the broker does not tell of its own.
        self._lag_due = time.monotonic() + (10.0 if self._paused else 1.0)
        waiting, told = 0, False
        for place, following in list(self._next.items()):
            try:
                ends = consumer.get_watermark_offsets(
                    TopicPartition(*place), timeout=1.0, cached=not self._paused
                )
            except KafkaException:
                continue
            if ends is not None and ends[1] >= 0:
                waiting, told = waiting + max(ends[1] - following, 0), True
        self._lag = waiting if told else self._lag

    # ---- what librdkafka calls, within a poll -----------------------------------------------

    def _given(self, consumer: Any, partitions: list[Any]) -> None:
        """Begin where the group was: by the broker, else by our file, else as `first` says."""
        for part in self._committed(consumer, partitions):
            place = (part.topic, part.partition)
            self._begin_at(consumer, part, self._offsets.of(place))
            if part.offset >= 0:
                self._next[place] = part.offset
        consumer.assign(partitions)
        # Only now: a new group has all that comes after it says that nothing is amiss.
        self._troubles.pop("broker", None)
        for topic in {part.topic for part in partitions}:
            self._troubles.pop(f"topic {topic}", None)
            self._troubles.pop("group", None)

    def _committed(self, consumer: Any, partitions: list[Any]) -> list[Any]:
        from confluent_kafka import KafkaException

        try:
            told = consumer.committed(partitions, timeout=ANSWER)
        except KafkaException as error:
            logger.warning("Kafka does not tell its offsets: %s", error)
            return []
        for part, known in zip(partitions, told, strict=True):
            part.offset = known.offset
        return partitions

    def _begin_at(self, consumer: Any, part: Any, saved: int | None) -> None:
        from confluent_kafka import OFFSET_END, KafkaException

        try:
            low, high = consumer.get_watermark_offsets(part, timeout=ANSWER)
        except (KafkaException, TypeError):  # TypeError: it timed out, and returned None
            if part.offset < 0:
                new = self._first == "latest" and not self._offsets.known
                part.offset = saved if saved is not None else OFFSET_END if new else part.offset
            return
        known = [at for at in (part.offset, saved) if at is not None and 0 <= at <= high]
        if known and known[0] < low:
            self._say_expired(part.topic, low - known[0])
        if known:
            part.offset = max(known[0], low)
        else:
            new = self._first == "latest" and not self._offsets.known and part.offset < 0
            part.offset = high if new else low
            # A number at once: what comes from now on is ours, also if we are killed before it.
            self._unkept[part.topic, part.partition] = part.offset

    def _taken(self, _consumer: Any, partitions: list[Any]) -> None:
        for part in partitions:
            place = (part.topic, part.partition)
            self._next.pop(place, None)
            self._unkept.pop(place, None)
        if not self._next:
            self._without_partitions()

    def _without_partitions(self) -> None:
        self._troubles["group"] = (
            f"the group {self._group} has no partition of {', '.join(self._topics)}; it is given "
            "some within a minute, unless another service of that group reads them all"
        )

    def _heard(self, error: Any, topic: str = "") -> None:
        """Take an error of librdkafka; it goes on by itself after all but a few."""
        from confluent_kafka import KafkaError, KafkaException

        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            return
        text = f"Kafka at {self._servers}: {printable(str(error.str() or error.name()))}"
        fix = {
            KafkaError.TOPIC_AUTHORIZATION_FAILED: "let the user read the topic",
            KafkaError.GROUP_AUTHORIZATION_FAILED: f"let the user read in the group {self._group}",
            KafkaError.CLUSTER_AUTHORIZATION_FAILED: "let the user connect",
            KafkaError.TOPIC_EXCEPTION: f"{', '.join(self._topics)}: no name that Kafka allows",
            KafkaError.SASL_AUTHENTICATION_FAILED: f"set {SECRETS['sasl.password']}",
            KafkaError._AUTHENTICATION: f"set {SECRETS['sasl.password']}",
            KafkaError.UNSUPPORTED_SASL_MECHANISM: "change sasl.mechanisms in the file of settings",
        }.get(code)
        if fix is not None:
            self._wrong = f"{text}; {fix}, and start again"
        elif code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            self._troubles[f"topic {topic}"] = f"{text}; it is looked for again"
        elif error.fatal():
            raise KafkaException(error)
        else:
            if "broker" not in self._troubles:
                logger.warning("%s", text)
            self._troubles["broker"] = text

    def _measured(self, statistics: str) -> None:
        """Take librdkafka's statistics, which tell when a broker is there again."""
        brokers = json.loads(statistics).get("brokers", {}).values()
        if any(each["state"] == "UP" and each["nodeid"] >= 0 for each in brokers):
            self._troubles.pop("broker", None)


class _Offsets:
    """The offsets of a group in a file, `known` when there was one."""

    def __init__(self, folder: Path | None, group: str) -> None:
        self.known = False
        self._path = None
        self._next: dict[str, int] = {}
        if folder is None:
            return
        plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in group)
        self._path = folder / f"kafka-{plain}.json"
        try:
            private_folder(folder)
            held = json.loads(self._path.read_text(encoding="utf-8"))
            self._next = {str(place): int(offset) for place, offset in held.items()}
            self.known = True
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be used: {error.strerror}") from error
        except (ValueError, AttributeError, TypeError):
            # Some came late to the disk when the machine went down; the broker has its own.
            logger.warning("%s is damaged; the offsets of the broker are used", self._path)

    def of(self, place: Place) -> int | None:
        """Return the next offset of a partition, where it is known."""
        return self._next.get(f"{place[0]}/{place[1]}")

    def keep(self, following: Mapping[Place, int]) -> None:
        """Write the next offsets of partitions; a failure is logged, the broker has them too."""
        self._next |= {f"{topic}/{number}": at for (topic, number), at in following.items()}
        self.known = True
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        try:
            with open(new, "w", encoding="utf-8", opener=open_private) as file:
                json.dump(self._next, file)
            os.replace(new, self._path)
        except OSError as error:
            logger.warning("the offsets are not kept: %s", describe(error))


def _confluent(settings: Mapping[str, Any], **more: Any) -> Any:
    from confluent_kafka import Consumer

    return Consumer(dict(settings), **more)
