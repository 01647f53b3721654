"""Finished parts are kept over a stop, and never mistaken for those of another training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.checkpoint import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def made(value: float) -> list[np.ndarray]:
    return [np.full((2, 3), value, np.float32), np.arange(4, dtype=np.float32)]


def never() -> list[np.ndarray]:
    raise AssertionError("made again")


def test_a_part_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    first = Checkpoint(folder, "a").arrays("gru", lambda: made(1.5))
    again = Checkpoint(folder, "a")
    found = again.arrays("gru", never)
    assert again.resumed == 1
    assert all(np.array_equal(x, y) for x, y in zip(first, found, strict=True))


def test_parts_of_another_history_are_thrown_away(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    Checkpoint(folder, "a").arrays("gru", lambda: made(1.5))
    other = Checkpoint(folder, "b")
    assert other.arrays("gru", lambda: made(2.5))[0][0, 0] == 2.5
    assert other.resumed == 0


def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    Checkpoint(folder, "a").arrays("gru", lambda: made(1.5))
    (folder / "gru.npz").write_bytes(b"PK not a zip")
    assert Checkpoint(folder, "a").arrays("gru", lambda: made(3.5))[0][0, 0] == 3.5


def test_done_leaves_nothing_and_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    checkpoint = Checkpoint(folder, "a")
    checkpoint.arrays("gru", lambda: made(1.5))
    checkpoint.done()
    assert not folder.exists()
    assert Checkpoint(None, "a").arrays("gru", lambda: made(1.5))[0][0, 0] == 1.5
