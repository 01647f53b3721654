"""The data partition at the first boot: into what the card has left, and no further."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from export.image.layout import LINUX, lay_out, mbr_bytes, read_mbr
from export.provision.firstboot.grow import grow_entry
from export.provision.firstboot.place import StepError


def disk(path: Path, size_mib: int) -> Path:
    layout = lay_out((0x0C, 40), (LINUX, 64), (LINUX, 64))
    path.write_bytes(mbr_bytes(layout, 0x7A1D5000))
    os.truncate(path, size_mib * 1024**2)
    return path


def first(card: Path) -> bytes:
    with card.open("rb") as file:
        return file.read(512)


def test_the_data_partition_reaches_to_the_end_of_the_card(tmp_path) -> None:
    card = disk(tmp_path / "disk", 1024)
    before = read_mbr(first(card), 2**40)
    assert grow_entry(card, 3) == (1024 - 172) * 2048
    after = read_mbr(first(card), 1024 * 1024**2)
    assert after[:2] == before[:2]
    assert (after[2].start, after[2].offset + after[2].size) == (before[2].start, 1024 * 1024**2)
    assert grow_entry(card, 3) == 0  # nothing more to gain
    if shutil.which("sfdisk"):
        done = subprocess.run(["sfdisk", "--json", card], capture_output=True, check=True)
        table = json.loads(done.stdout)["partitiontable"]
        assert (table["id"], table["partitions"][2]["size"]) == ("0x7a1d5000", after[2].sectors)


def test_a_partition_that_is_not_the_last_does_not_grow_into_the_next(tmp_path) -> None:
    card = disk(tmp_path / "disk", 1024)
    before = first(card)
    assert grow_entry(card, 2) == 0
    assert first(card) == before
    with card.open("r+b") as file:
        file.seek(510)
        file.write(struct.pack("<H", 0))
    with pytest.raises(StepError, match="no MBR"):
        grow_entry(card, 3)
