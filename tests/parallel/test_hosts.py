"""The start-up of several hosts: what can be told before anyone is waited for."""

import pytest

from dfjax.parallel import hosts


def test_a_single_process_starts_nothing():
    hosts.start()
    assert hosts.from_first(b"\0bytes") == b"\0bytes"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"num_processes": 2}, "needs --coordinator=HOST:PORT"),
        ({"coordinator": "localhost:1"}, "--num_processes of at least 1"),
        ({"coordinator": "localhost:1", "num_processes": 2}, "--process_id from 0 below it"),
        ({"coordinator": "localhost:1", "num_processes": 2, "process_id": 2}, "not 2 and 2"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, words):
    with pytest.raises(hosts.HostError, match=words):
        hosts.start(**flags)
