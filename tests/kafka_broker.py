"""Run librdkafka's own broker in this process: the real protocol, and faults on request."""

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
import pytest


class Broker:
    """A cluster of one broker.

    Attributes
    ----------
    address : str
    """

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library, self._cluster = library, ctypes.c_void_p(cluster)
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        self.address = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def make(self, topic: str, partitions: int = 1) -> None:
        """Make a topic."""
        self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)

    def forget(self, topic: str, before: int) -> None:
        """Delete the messages of partition 0 before an offset, as a broker does after days."""
        number = ctypes.c_int64(before)
        delete = self._library.rd_kafka_mock_partition_delete_records
        assert delete(self._cluster, topic.encode(), 0, number) == 0

    def refuse(self, topic: str, code: int) -> None:
        """Answer what asks for a topic with an error; 0 for none."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), code)

    def go(self) -> None:
        """End connections, and take no more."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def come(self) -> None:
        """Take connections again."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)


@contextmanager
def broker() -> Iterator[Broker]:
    """A broker, which holds its messages while the context is open."""
    library = _library()
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    handle = library.rd_kafka_new(0, None, ctypes.create_string_buffer(512), 512)
    cluster = library.rd_kafka_mock_cluster_new(ctypes.c_void_p(handle), 1)
    try:
        yield Broker(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(cluster))
        library.rd_kafka_destroy(ctypes.c_void_p(handle))


def _library() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    bundled = (package.parent / "confluent_kafka.libs").glob("librdkafka-*")
    path = next(map(str, bundled), ctypes.util.find_library("rdkafka"))
    if path is None:
        pytest.skip("confluent-kafka brings no librdkafka that can be loaded")
    return ctypes.CDLL(path)
