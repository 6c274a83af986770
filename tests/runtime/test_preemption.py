"""A run that is told to end, seen from one process; the agreement of several is in tests/multihost."""

import subprocess
import sys

from dfjax.runtime.preemption import Preemption


def test_a_request_is_met_at_the_next_step_also_where_steps_are_taken_again():
    request = Preemption(seconds=600.0)
    request.begin(0)
    assert not any(request.reached(step) for step in range(1, 8))
    request.ask("planted")
    # After a spike at step 7 the run takes five steps again.
    request.went_back(5)
    assert request.reached(3)
    request.close(0.0)


def test_at_the_end_of_a_run_a_request_changes_nothing_to_the_very_end_of_the_process():
    program = (
        "import atexit, os, signal\n"
        # Registered first, it runs last.
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "from dfjax.runtime.preemption import Preemption\n"
        "request = Preemption()\n"
        "request.listen()\n"
        "request.close(0.0)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('finished')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "finished\n"), done.stderr[-1000:]
