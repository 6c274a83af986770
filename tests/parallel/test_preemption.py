"""A run that is told to end, seen from one process; the agreement of several is in tests/multihost."""

from dfjax.parallel.preemption import Preemption


def test_a_request_is_met_at_the_next_step_also_where_steps_are_taken_again():
    request = Preemption(seconds=600.0)
    request.begin(0)
    assert not any(request.reached(step) for step in range(1, 8))
    request.ask("planted")
    # After a spike at step 7 the run takes five steps again.
    request.went_back(5)
    assert request.reached(3)
    request.close(0.0)
