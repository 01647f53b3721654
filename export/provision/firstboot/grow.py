"""The data partition takes what the card has left: the last entry of the MBR, then ext4 in it."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from export.provision.firstboot.place import StepError, command

if TYPE_CHECKING:
    from pathlib import Path

    from export.provision.firstboot.place import Place

LABEL = "talus-data"
DATA = "/var/lib/talus"
SECTOR = 512
_ENTRIES, _ENTRY = 446, 16
_MIN_GAIN_SECTORS = 2048 * 8
"""Less than 8 MiB to gain is not worth a write to the partition table."""


def grow_data(place: Place) -> str:
    """Grow the data partition of a Talus image; a stock OS has none and has grown by itself."""
    link = place.at(f"/dev/disk/by-label/{LABEL}")
    if not is_data_there(place):
        what = f"{LABEL} is not mounted at {DATA}: what belongs there would be lost"
        raise StepError(what, "see journalctl -b; if it stays so, write the card again")
    if not link.exists():
        return "no data partition of its own: the system's is used"
    device = link.resolve()
    disk, number = _parent(place, device)
    gained = grow_entry(disk, number)
    if gained:
        command("partx", "--update", "--nr", str(number), str(disk))
    command("resize2fs", str(device))  # does nothing where it fills its partition already
    size = int((place.at("/sys/class/block") / device.name / "size").read_text()) * SECTOR
    return f"{LABEL} has {size // 1024**2} MiB"


def is_data_there(place: Place) -> bool:
    """Whether the data partition is mounted, where the system is to have one.

    What was put under its place before it is mounted would be out of sight after.
    """
    try:
        lines = place.at("/etc/fstab").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    wanted = any(line.split()[:2] == [f"LABEL={LABEL}", DATA] for line in lines)
    return not wanted or place.at(DATA).is_mount()


def _parent(place: Place, device: Path) -> tuple[Path, int]:
    found = place.at("/sys/class/block") / device.name
    try:
        number = int((found / "partition").read_text())
        disk = found.resolve().parent.name
    except (OSError, ValueError) as error:
        raise StepError(f"{device} is no partition: {error}", "write the card again") from error
    return place.at("/dev") / disk, number


def grow_entry(disk: Path, number: int) -> int:
    """Let an MBR entry reach to the end of its disk, if it is the last. Returns sectors gained."""
    with disk.open("r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END) // SECTOR
        file.seek(0)
        table = bytearray(file.read(SECTOR))
        if len(table) < SECTOR or table[510:] != b"\x55\xaa" or not 1 <= number <= 4:
            raise StepError(f"{disk} has no MBR partition table", "write the card again")
        at = _ENTRIES + (number - 1) * _ENTRY + 8
        start, count = struct.unpack_from("<II", table, at)
        starts = [struct.unpack_from("<I", table, _ENTRIES + i * _ENTRY + 8)[0] for i in range(4)]
        gained = min(end, 2**32 - 1) - start - count
        if max(starts) != start or gained < _MIN_GAIN_SECTORS:
            return 0
        struct.pack_into("<I", table, at + 4, count + gained)
        file.seek(0)
        file.write(table)
        os.fsync(file.fileno())
    return int(gained)
