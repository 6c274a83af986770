"""The folder of compiled programs: this user's alone, or not used."""

import os
import stat
import types

import jax
import pytest
from absl import flags

from dfjax.cli import cache
from dfjax.core import ownership


@pytest.fixture
def used(monkeypatch):
    """Sets the cache up as a command does, and tells the settings that JAX was given."""

    def set_up(wish: str) -> dict:
        given = {}
        monkeypatch.setattr(jax.config, "update", given.__setitem__)
        monkeypatch.setattr(flags, "FLAGS", type("Flags", (), {"compilation_cache": wish}))
        cache.set_up()
        return given

    return set_up


def test_a_new_folder_is_this_users_alone(used, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dfjax" / "xla"
    assert used("")["jax_compilation_cache_dir"] == str(folder)
    # The folder above it too, whatever may be put there later.
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)] == [0o700, 0o700]


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


@pytest.fixture
def below(tmp_path):
    """A safe folder, two below one whose permissions a test sets."""
    folder = tmp_path / "open" / "between" / "xla"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        each.chmod(0o700)
    return folder


@pytest.fixture
def members(monkeypatch):
    """Names of a group that has the folders of the test, besides the user whose own it is by its name."""
    names: list[str] = []
    gid = os.getegid()
    monkeypatch.setattr(ownership.pwd, "getpwuid", lambda _: types.SimpleNamespace(pw_gid=gid, pw_name="ann"))
    monkeypatch.setattr(ownership.grp, "getgrgid", lambda _: types.SimpleNamespace(gr_name="ann", gr_mem=names))
    return names


@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_a_folder_that_others_could_exchange_is_not_used(mode, used, below, caplog):
    above = below.parents[1]
    above.chmod(mode)
    assert used(str(below)) == {}
    assert f"chmod go-w {above}`, or choose another folder with --compilation_cache=FOLDER" in caplog.text


def test_a_link_to_where_others_could_exchange_the_folder_is_not_used(used, below, tmp_path):
    below.parents[1].chmod(0o777)
    (tmp_path / "link").symlink_to(below)
    assert used(str(tmp_path / "link")) == {}


def test_a_link_that_others_could_change_is_not_followed_again(used, below, tmp_path):
    safe = tmp_path / "safe"
    safe.mkdir(mode=0o700)
    link = below.parents[1] / "link"
    link.symlink_to(safe)
    link.parent.chmod(0o777)
    assert used(str(link))["jax_compilation_cache_dir"] == str(safe)


def test_in_a_sticky_folder_nobody_can_exchange_what_is_not_theirs(used, below):
    below.parents[1].chmod(0o1777)
    assert used(str(below))["jax_compilation_cache_dir"] == str(below)


def test_a_group_of_this_user_alone_may_write_above(used, below, members, caplog):
    below.parents[1].chmod(0o775)
    assert used(str(below))
    members.append("bob")
    assert used(str(below)) == {}
    assert "others may write" in caplog.text


def test_a_folder_in_another_users_is_not_used(used, below, caplog, monkeypatch):
    above, us = below.parents[1], os.geteuid()
    real = os.stat(above)
    others = os.stat_result((real.st_mode, real.st_ino, real.st_dev, real.st_nlink, us + 1, *real[5:]))
    stat_of = type(above).stat
    monkeypatch.setattr(type(above), "stat", lambda self, **k: others if self == above else stat_of(self, **k))
    assert used(str(below)) == {}
    assert f"{above}, in which {below} is, belongs to another user" in caplog.text


def test_a_folder_that_cannot_be_made_costs_the_cache_alone(used, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert used(str(tmp_path / "file" / "cache")) == {}
    assert "no compilation cache" in caplog.text


def test_off_uses_none(used):
    assert used("off") == {}
