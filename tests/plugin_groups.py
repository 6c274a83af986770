"""A pytest plugin: groups of tests, their time, what was skipped of each and why, and, on demand, no skips at all.

A test belongs to the group whose marker it carries, or whose name a folder on its path has: ``tests/parity/test_x.py``
is of the group ``parity`` without a marker. With ``DFJAX_REQUIRE=all`` in the environment a skip is a failure, so that
what passes has really run; an expected failure (``xfail``) is not a skip.

Of a test with many parameters ``@pytest.mark.gate(3)`` keeps the first three in the gate, and ``gate(size=(1, 2))``
those of these sizes: the others are ``long``.
"""

import collections
import os
import pathlib
from collections.abc import Generator, Iterable
from typing import Any

import pytest

GROUPS = ("parity", "multihost", "multidevice", "resume", "slurm", "slow")
OTHERS = "unit"


def pytest_configure(config: pytest.Config) -> None:
    """Reads DFJAX_REQUIRE once, and refuses what it does not know."""
    wanted = os.environ.get("DFJAX_REQUIRE", "")
    if wanted not in ("", "all"):
        raise pytest.UsageError(f"DFJAX_REQUIRE is 'all' or nothing, not {wanted!r}")
    if wanted:
        # A module that cannot be imported must not hide what the others have to say.
        config.option.continue_on_collection_errors = True
    config.pluginmanager.register(Groups(required=bool(wanted)), "dfjax-groups")


def group_of(path: str, keywords: Iterable[str] = ()) -> str:
    """The group of a test, by its markers and else by the folders of its path."""
    names = {*keywords, *pathlib.PurePath(path).parts[:-1]}
    return next((group for group in GROUPS if group in names), OTHERS)


def reason_of(report: Any) -> str:
    """Why a report is a skip, without pytest's own prefix."""
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return reason.removeprefix("Skipped: ")


def asked_for(request: pytest.FixtureRequest, name: str) -> list[Any]:
    """The values of a parameter that tests of a fixture's file will run with."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    return list(dict.fromkeys(item.callspec.params[name] for item in items if name in item.callspec.params))


class Groups:
    """Counts what ran and what was skipped, by group."""

    def __init__(self, required: bool) -> None:
        self.required = required
        self.ran: collections.Counter[str] = collections.Counter()
        self.skipped: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.seconds: collections.Counter[str] = collections.Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Gives a test in a group's folder that group's marker, so that ``-m parity`` finds it."""
        for item in items:
            group = group_of(item.nodeid.split("::")[0], (mark.name for mark in item.iter_markers()))
            if group != OTHERS and item.get_closest_marker(group) is None:
                item.add_marker(group)
        self._thin(items)

    def _thin(self, items: list[pytest.Item]) -> None:
        seen: collections.Counter[str] = collections.Counter()
        for item in items:
            if mark := item.get_closest_marker("gate"):
                name, params = item.nodeid.partition("[")[0], getattr(item, "callspec", None)
                seen[name] += 1
                is_one = all(params.params[key] in kept for key, kept in mark.kwargs.items())
                if seen[name] > (mark.args[0] if mark.args else seen[name]) or not is_one:
                    item.add_marker("long")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Turns a skip into a failure where skips are not allowed."""
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            self._refuse(report)
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Counts each test's outcome; with several processes this is called in the one that tells."""
        group = group_of(report.nodeid.split("::")[0], report.keywords)
        self.seconds[group] += report.duration
        if reason := getattr(report, "skip_reason", ""):
            self.skipped[group][reason] += 1
        elif report.when == "call" and not report.skipped:
            self.ran[group] += 1

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        """The same for a module that skips itself as a whole, as ``pytest.importorskip`` does."""
        report = yield
        if report.skipped:
            self._refuse(report)
        return report

    def pytest_collectreport(self, report: Any) -> None:
        """Counts a module that skipped itself."""
        if reason := getattr(report, "skip_reason", ""):
            self.skipped[group_of(report.nodeid)][reason] += 1

    def _refuse(self, report: Any) -> None:
        # Kept in the report, which may go to another process.
        report.skip_reason = reason_of(report)
        if self.required:
            report.outcome = "failed"
            report.longrepr = f"skipped, which DFJAX_REQUIRE=all does not allow: {report.skip_reason}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """How long each group took, and a line for each reason to skip; pytest's own last line still comes after it."""
        if took := ", ".join(f"{group} {seconds:.0f}" for group, seconds in self.seconds.most_common()):
            terminalreporter.line(f"seconds of all processes: {took}")
        if not self.skipped:
            return
        title = "skipped, though required" if self.required else "skipped groups and why"
        terminalreporter.section(title)
        for group in (*GROUPS, OTHERS):
            reasons = self.skipped.get(group)
            if reasons:
                terminalreporter.line(f"{group}: {reasons.total()} skipped, {self.ran[group]} ran")
                for reason, count in reasons.most_common():
                    terminalreporter.line(f"  {count} x {reason}")
        if not self.required:
            terminalreporter.line("DFJAX_REQUIRE=all make test installs what they need and fails on a skip")
