"""What a bus brings that is no document is counted, and does not fill the log."""

from collections import Counter

from rankaae_stream.service.decode import NotADocument
from rankaae_stream.service.source import OF, SAID, refuse


def test_of_very_many_messages_that_are_no_documents_a_few_are_logged(caplog):
    refused = Counter()
    for _ in range(OF + 1):
        refuse(refused, NotADocument("format", "it is a poem"), "a message", "topic at 0/7")
    refuse(refused, NotADocument("pickle", "it is a pickle"), "a message")
    assert refused == {"format": OF + 1, "pickle": 1}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == SAID + 2
    assert said[0] == "a message is not taken: it is a poem (topic at 0/7)"
    assert said[-2].endswith(f"; {OF} of this kind so far")
    assert said[-1] == "a message is not taken: it is a pickle"
