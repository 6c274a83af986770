"""Each file that is not as it was saved is named."""

import os
import subprocess

import pytest

from dfjax.checkpoint import checksums, inventory
from dfjax.checkpoint.checksums import Fault
from dfjax.checkpoint.store import CheckpointError, Checkpoints
from tests.checkpoint.conftest import arrays, save, shapes


def _folder(room):
    return room.checkpoints / "step_20"


def _some_data(room, item="ema"):
    return sorted(path for path in (_folder(room) / item).rglob("*") if "/d/" in str(path))[0]


def test_a_checkpoint_is_whole_and_other_programs_say_so_too(saved):
    assert inventory.verify(saved, 20) == []
    named = (_folder(saved) / checksums.NAME).read_text()
    for item in ("params", "ema", "optimizer", "meta", "tokenizer"):
        assert f"  {item}/" in named
    done = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", checksums.NAME], cwd=_folder(saved))
    assert done.returncode == 0


@pytest.mark.parametrize("harm", ["a bit", "gone", "extra", "link", "empty"])
def test_each_fault_is_named_and_nothing_else(harm, room):
    victim = _some_data(room)
    name = str(victim.relative_to(_folder(room)))
    what = {"gone": "missing", "extra": "extra"}.get(harm, "damaged")
    if harm == "a bit":
        whole = bytearray(victim.read_bytes())
        whole[len(whole) // 2] ^= 1
        victim.write_bytes(whole)
    elif harm == "gone":
        victim.unlink()
    elif harm == "extra":
        name = "ema/d/planted"
        (_folder(room) / name).write_bytes(b"x")
    elif harm == "link":
        # The same bytes, but from elsewhere.
        os.link(victim, room.path / "elsewhere")
        victim.unlink()
        victim.symlink_to(room.path / "elsewhere")
    else:
        victim.write_bytes(b"")
    assert inventory.verify(room, 20) == [Fault(name, what)]
    assert inventory.verify(room, 10) == []
    with Checkpoints(room.checkpoints) as checkpoints:
        with pytest.raises(
            CheckpointError, match=rf"step_20 is damaged \({name} is {what}\); delete that folder to go"
        ):
            checkpoints.arrays(20, {"ema": shapes(arrays(0)["ema"])})
        # The other items are as they were.
        assert checkpoints.arrays(20, {"params": shapes(arrays(0)["params"])})
        assert checkpoints.tokenizer(20)


def test_shares_cover_every_file_once(room):
    for path in (_folder(room) / "ema").rglob("*"):
        if path.is_file():
            path.write_bytes(b"other")
    everything = checksums.faults(_folder(room))
    shares = [checksums.faults(_folder(room), share=(i, 3)) for i in range(3)]
    assert all(shares)
    assert sorted(str(fault) for share in shares for fault in share) == sorted(map(str, everything))


def test_one_of_an_earlier_version_is_read_and_said_to_have_no_checksums(room, caplog):
    (_folder(room) / checksums.NAME).unlink()
    # One that had them cannot pass for an earlier one.
    assert inventory.verify(room, 20) == [Fault(checksums.NAME, "missing")]
    meta = _folder(room) / "meta" / "metadata"
    meta.write_text(meta.read_text().replace('"checksums"', '"something"'))
    assert inventory.verify(room, 20) is None
    with Checkpoints(room.checkpoints) as checkpoints:
        checkpoints.arrays(20, {"ema": shapes(arrays(0)["ema"])})
    assert "has no checksums (an earlier version saved it)" in caplog.text


@pytest.mark.parametrize("text", ["", "nonsense\n", "/etc/passwd\n", "0" * 64 + "  ../../../etc/passwd\n"])
def test_checksums_that_are_damaged_themselves_vouch_for_nothing(text, room):
    (_folder(room) / checksums.NAME).write_text(text)
    assert inventory.verify(room, 20)
    with Checkpoints(room.checkpoints) as checkpoints, pytest.raises(CheckpointError, match="step_20 is damaged"):
        checkpoints.meta(20)


def test_a_damaged_older_one_does_not_block_a_run_whose_newest_is_whole(room):
    (room.checkpoints / "step_10" / "_CHECKPOINT_METADATA").unlink()
    (room.checkpoints / "step_10" / "meta" / "metadata").unlink()
    assert room.require_checkpoint() == 20
    save(room, (30,))
    assert room.steps() == [20, 30]


def test_prune_keeps_the_newest_whole_ones(room):
    save(room, (30, 40, 50), keep_last=9)
    (room.checkpoints / "step_50" / "ema" / "_METADATA").unlink()
    (room.checkpoints / "step_30" / "ema" / "_METADATA").unlink()
    assert inventory.prune(room, 2, keep_every=10, dry_run=True) == []
    assert inventory.prune(room, 2, dry_run=True) == [10, 30]
    assert room.steps() == [10, 20, 30, 40, 50]
    with Checkpoints(room.checkpoints, keep_last=9), pytest.raises(CheckpointError, match="another run is writing"):
        inventory.prune(room, 2)
    assert inventory.prune(room, 2) == [10, 30]
    assert room.steps() == [20, 40, 50]
    for step in (20, 40):
        (room.checkpoints / f"step_{step}" / "ema" / "_METADATA").unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint of .* is whole, so none is deleted"):
        inventory.prune(room, 1)
    assert room.steps() == [20, 40, 50]


def test_what_is_not_kept_leaves_by_one_rename_and_a_killed_deletion_is_finished(room):
    # As a kill leaves it: under no name that is read, with half of its files.
    (room.checkpoints / "deleted").mkdir()
    (room.checkpoints / "step_10").rename(room.checkpoints / "deleted" / "step_10")
    (room.checkpoints / "deleted" / "step_10" / "_CHECKPOINT_METADATA").unlink()
    assert room.steps() == [20]
    save(room, (30, 40))
    assert room.steps() == [30, 40]
    assert not (room.checkpoints / "deleted").exists()
