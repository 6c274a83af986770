"""The folder of compiled programs: this user's alone, or not used."""

import os
import stat

import jax
import pytest
from absl import flags

from dfjax.cli import app


@pytest.fixture
def used(monkeypatch):
    """Sets the cache up as a command does, and tells the settings that JAX was given."""

    def set_up(wish: str) -> dict:
        given = {}
        monkeypatch.setattr(jax.config, "update", given.__setitem__)
        monkeypatch.setattr(flags, "FLAGS", type("Flags", (), {"compilation_cache": wish}))
        app._set_up_cache()
        return given

    return set_up


def test_a_new_folder_is_this_users_alone(used, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dfjax" / "xla"
    assert used("")["jax_compilation_cache_dir"] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_there_and_ours_is_used(used, tmp_path):
    tmp_path.chmod(0o755)
    assert used(str(tmp_path))["jax_compilation_cache_dir"] == str(tmp_path)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777, 0o702])
def test_a_folder_that_others_may_write_is_not_used(mode, used, tmp_path, caplog):
    tmp_path.chmod(mode)
    assert used(str(tmp_path)) == {}
    assert f"chmod go-w {tmp_path}" in caplog.text


def test_a_folder_of_another_user_is_not_used(used, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert used(str(tmp_path)) == {}
    assert "belongs to another user; choose another folder with --compilation_cache=FOLDER" in caplog.text


def test_a_folder_that_cannot_be_made_costs_the_cache_alone(used, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert used(str(tmp_path / "file" / "cache")) == {}
    assert "no compilation cache" in caplog.text


def test_off_uses_none(used):
    assert used("off") == {}
