"""`dfjax report`: what a user is told, and the exit status."""

import json

from tests import command
from tests.report import made_up, parsed


def _report(*arguments):
    return command.dfjax("report", *map(str, arguments), command.compiled())


def test_a_page_is_written_and_its_path_printed(tmp_path):
    rooms = [made_up.whole(tmp_path / name) for name in ("one", "two")]
    out = tmp_path / "page.html"
    # Folders before and after flags.
    done = _report(rooms[0], f"--out={out}", rooms[1], "--best=caption_top1")
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    made = parsed.Page(out.read_text())
    assert [each["name"] for each in made.data["runs"]] == ["one", "two"]
    assert "step 50 : caption_top1 0.5 (higher is better)" in made.text().replace("  ", " ")
    assert {each.name for each in tmp_path.iterdir()} == {"one", "two", "page.html"}


def test_the_table_comes_as_json_without_a_page(tmp_path):
    done = _report(made_up.whole(tmp_path / "run"), "--json", f"--out={tmp_path / 'page.html'}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["best"]["step"] == 100
    assert not (tmp_path / "page.html").exists()


def test_what_cannot_be_asked_is_refused_in_a_line(tmp_path):
    room = made_up.whole(tmp_path / "run")
    for arguments, status, words in (
        ([], 2, "name the work directories of runs"),
        ([room, "--out=page.pdf"], 2, "name it page.html, say"),
        ([room, f"--out={tmp_path / 'no' / 'page.html'}"], 2, "there is no folder"),
        ([room, "--best=kidd", f"--out={tmp_path / 'page.html'}"], 2, "did you mean 'kid_efficientnet_lite0'?"),
        ([tmp_path, f"--out={tmp_path / 'page.html'}"], 1, "is no run of dfjax"),
    ):
        done = _report(*arguments)
        assert done.returncode == status, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "page.html").exists()
