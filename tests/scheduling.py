"""Which of pytest-xdist's processes runs which test."""

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController


# And not --dist=loadgroup, which changes the ids of tests: pytest 9.2 does not let it.
class _Files(LoadScopeScheduling):
    """Each file to one process, since its tests share what they set up; and those of Slurm, which share one, to one."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path.rpartition("/")[0] if "/slurm/" in path else path

    def remove_node(self, node: WorkerController) -> str | None:
        """Of a process that crashed, hand on what is not done: handed files that are, another waits without end."""
        done = [scope for scope, tests in self.assigned_work[node].items() if all(tests.values())]
        for scope in done:
            del self.assigned_work[node][scope]
        return super().remove_node(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> LoadScopeScheduling:
    return _Files(config, log)
