"""Which of pytest-xdist's processes runs which test."""

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# They take longest and wait most: begun first, they are not what all wait for in the end.
_FIRST = (
    "tests/slurm/",
    "tests/cli/test_sweep.py",
    "tests/multidevice/",
    "tests/launching/test_xpk.py",
    "tests/resume/",
    "tests/multihost/",
    "tests/cli/",
    "tests/launching/",
    "tests/faults/",
    "tests/plan/",
)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {
        item: next((i for i, start in enumerate(_FIRST) if item.nodeid.startswith(start)), len(_FIRST))
        for item in items
    }
    items.sort(key=places.__getitem__)
