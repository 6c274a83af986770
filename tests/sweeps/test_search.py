"""A search, over runs that are written by hand: what is pruned, what fails, and what a repeat takes up."""

import pathlib

import pytest

optuna = pytest.importorskip("optuna")

from dfjax.checkpoint.workdir import Workdir  # noqa: E402
from dfjax.config import ConfigError  # noqa: E402
from dfjax.launching.errors import JobError, LaunchError  # noqa: E402
from dfjax.sweeps import frozen, search, state  # noqa: E402
from dfjax.sweeps.frozen import Header  # noqa: E402
from tests.sweeps import made_up  # noqa: E402

# Of each trial a seed, which says what becomes of its run.
SEARCH = "def search(trial):\n    return {'train.seed': trial.suggest_int('seed', 0, 99)}"


class Hands:
    """Runs whose fate is written down: by seed, losses by step for as long as they go, and how they end."""

    def __init__(self, folder: pathlib.Path, fates: dict[int, tuple[list[float], str]]):
        self._folder, self._fates = folder, fates
        self._going: dict[int, tuple] = {}
        self.started: list[int] = []
        self.told: list[int] = []

    def __len__(self) -> int:
        return len(self._going)

    def start(self, line) -> None:
        state.forget(Workdir(self._folder / line.name))
        self.started.append(line.number)
        losses, end = self._fates[line.overrides["train.seed"]]
        self._going[line.number] = (line, list(losses), end)
        made_up.beat(self._folder / line.name)

    def tell(self, line=None) -> None:
        self.told.append(line.number if line else 0)

    def ended(self):
        found = []
        for number, (line, losses, end) in list(self._going.items()):
            workdir = self._folder / line.name
            path = workdir / "metrics.jsonl"
            known = len(path.read_text().splitlines()) if path.exists() else 0
            if known < len(losses) and number not in self.told:
                made_up.trained(workdir, dict(enumerate(losses[: known + 1], 1)))
                made_up.beat(workdir)
                continue
            del self._going[number]
            status = {"finished": 0, "failed": 1, "killed": 137}[end] if number not in self.told else 42
            if end == "finished" and number not in self.told:
                made_up.trained(workdir, dict(enumerate(losses, 1)), saved=made_up.STEPS)
            made_up.beat(workdir, status, end)
            found.append((line, status))
        return found


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(search, "_POLL_SECONDS", 0.0)


def run(folder: pathlib.Path, fates, trials: int, parallel: int = 1, body: str = SEARCH, seeds=()):
    """A search, begun or gone on with. ``seeds``: what the next trials are, in order."""
    recipe = made_up.write_recipe(folder / "of", body)
    sweep = frozen.freeze(folder / "sweep", Header(str(recipe), (), made_up.base(), is_search=True), [])
    hands = Hands(sweep.folder, fates)
    made = search.Search(sweep, recipe, hands, startup_trials=2)
    for seed in seeds:
        made._study.enqueue_trial({"seed": seed})
    try:
        made.run(trials, parallel)
    finally:
        states = [trial.state.name for trial in made._study.get_trials()]
    return made, hands, states


GOOD = ([3.0, 2.0, 1.0], "finished")


def test_trials_become_lines_and_the_study_has_their_best_losses(tmp_path):
    fates = {1: ([3.0, 1.0, 2.0], "finished"), 2: GOOD}
    made, hands, states = run(tmp_path, fates, trials=2, seeds=(1, 2))
    assert states == ["COMPLETE", "COMPLETE"]
    assert [trial.value for trial in made._study.get_trials()] == [1.0, 1.0]
    assert made._study.get_trials()[0].intermediate_values == {1: 3.0, 2: 1.0, 3: 2.0}
    assert [(line.name, line.overrides) for line in frozen.read(made.sweep.folder).lines] == [
        ("001,seed=1", {"train.seed": 1}),
        ("002,seed=2", {"train.seed": 2}),
    ]
    assert hands.started == [1, 2]


def test_a_trial_that_is_worse_than_the_median_is_pruned_and_stays_so(tmp_path):
    fates = {1: GOOD, 2: GOOD, 3: ([9.0] * 50, "finished")}
    made, hands, states = run(tmp_path, fates, trials=3, seeds=(1, 2, 3))
    assert states == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert hands.told == [3]
    assert state.read(made.sweep.workdir(made.sweep.line(3)), made_up.STEPS).state is state.State.PRUNED
    _, again, states = run(tmp_path, fates, trials=3)
    assert (again.started, len(states)) == ([], 3)


def test_a_run_that_fails_fails_its_trial_and_no_other(tmp_path):
    _, _, states = run(tmp_path, {1: ([3.0], "failed"), 2: GOOD}, trials=2, seeds=(1, 2))
    assert states == ["FAIL", "COMPLETE"]


def test_a_run_that_was_killed_is_told_and_taken_up_by_a_repeat(tmp_path):
    with pytest.raises(LaunchError, match=r"line 1 \(001,seed=1\) was killed .* The same command takes them up"):
        run(tmp_path, {1: ([3.0], "killed"), 2: GOOD}, trials=2, seeds=(1, 2))
    made, hands, states = run(tmp_path, {1: GOOD}, trials=2)
    assert states == ["COMPLETE", "COMPLETE"]
    assert hands.started == [1]
    assert [line.overrides["train.seed"] for line in made.sweep.lines] == [1, 2]


def test_a_search_that_was_killed_goes_on_with_what_runs_still(tmp_path):
    """The run of its trial ends without a result later on, and then it is started."""
    made, _, _ = run(tmp_path, {1: GOOD}, trials=1, seeds=(1,))
    made._study.enqueue_trial({"seed": 2})
    trial = made._study.ask()
    line = made._line(trial)
    made_up.beat(made.sweep.workdir(line).path)

    class Later(Hands):
        looks = 0

        def ended(self):
            self.looks += 1
            if self.looks == 3:
                assert self.started == []
                made_up.beat(made.sweep.workdir(line).path, 137)
            return super().ended()

    hands = Later(made.sweep.folder, {2: GOOD})
    again = search.Search(frozen.read(made.sweep.folder), tmp_path / "of" / "recipe.py", hands, startup_trials=2)
    assert again.run(2, 1) is False
    assert hands.started == [2]
    assert [each.state.name for each in again._study.get_trials()] == ["COMPLETE", "COMPLETE"]


def test_trials_that_ask_for_the_same_run_share_it(tmp_path):
    made, hands, states = run(tmp_path, {1: GOOD}, trials=3, parallel=2, seeds=(1, 1, 1))
    assert states == ["COMPLETE"] * 3
    assert hands.started == [1]
    assert len(made.sweep.lines) == 1


@pytest.mark.parametrize(("parallel", "started"), [(1, [1, 1]), (2, [1])])
def test_a_trial_that_asks_for_a_run_that_failed_tries_it_again(parallel, started, tmp_path):
    made, hands, states = run(tmp_path, {1: ([3.0], "failed")}, trials=2, parallel=parallel, seeds=(1, 1))
    assert states == ["FAIL", "FAIL"]
    assert hands.started == started
    assert len(made.sweep.lines) == 1


def test_a_recipe_may_prune_a_trial_itself(tmp_path):
    body = "import optuna\ndef search(trial):\n    raise optuna.TrialPruned"
    _, hands, states = run(tmp_path, {}, trials=2, body=body)
    assert (states, hands.started) == (["PRUNED"] * 2, [])


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("", JobError, "has no function search(trial)"),
        ("def search(trial):\n    return {'model.widht': 3}", ConfigError, "unknown config key"),
        ("def search(trial):\n    return None", JobError, "line 1 of the sweep is a NoneType"),
        ("def search(trial):\n    return 1 / 0", JobError, "search() raised ("),
    ],
)
def test_a_search_that_returns_no_line_ends_in_a_line(body, error, words, tmp_path):
    with pytest.raises(error) as raised:
        run(tmp_path, {}, trials=2, body=body)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_config_without_validation_is_refused():
    values = made_up.base().to_dict()
    values["data"]["validation_split"] = ""
    with pytest.raises(JobError, match="a search goes by the validation loss"):
        search.check(made_up.config_lib.resolve(values))
