"""Checkpoints that a run takes away while they are looked at."""

import shutil

import pytest

from dfjax.checkpoint import checksums, inventory


@pytest.fixture
def pruned(room, monkeypatch):
    """A run deletes its older checkpoint as soon as somebody has read one of its files."""
    verify, exist = checksums.faults, checksums.exist

    def then_delete(look):
        def looked(folder, *args):
            found = look(folder, *args)
            if folder.name == "step_10":
                shutil.rmtree(folder, ignore_errors=True)
            return found

        return looked

    monkeypatch.setattr(checksums, "faults", then_delete(verify))
    monkeypatch.setattr(checksums, "exist", then_delete(exist))
    return room


def test_it_is_not_called_damaged(pruned):
    with pytest.raises(inventory.GoneError, match="step 10 was deleted while it was read"):
        inventory.verify(pruned, 10)
    assert inventory.verify(pruned, 20) == []


def test_it_is_not_listed(pruned):
    assert [entry.step for entry in inventory.entries(pruned)] == [20]


def test_it_is_neither_kept_nor_deleted(pruned):
    assert inventory.prune(pruned, keep_last=2, dry_run=True) in ([], [10])
