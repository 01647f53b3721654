"""What a device is, from /sys and /proc: nobody is to overwrite the disk of this PC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge.errors import TalusError

SECTOR = 512
MAX_CARD_BYTES = 2 * 1024**4
_WORD = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Device:
    """A whole block device. ``mounted``: what of it is in use, and where."""

    path: Path
    model: str
    bytes: int
    removable: bool
    read_only: bool
    mounted: tuple[str, ...]
    seen: str = ""
    """What the kernel counts up at each card put in (Linux 5.15 and later)."""

    @property
    def size(self) -> str:
        """Return the size as it stands on a card."""
        return f"{self.bytes / 1e9:.1f} GB"


def inspect(path: Path, root: Path = Path("/")) -> Device:
    """Read what a device is. ``root``: where sys/ and proc/ are. Raises TalusError."""
    real = path.resolve() if root == Path("/") else path
    name = real.name
    where = root / "sys/class/block" / name
    if not where.exists():
        raise TalusError(f"--device {path}: no such disk here; lsblk lists them")
    if (where / "partition").exists():
        whole = where.resolve().parent.name
        raise TalusError(f"--device {path}: a partition: the whole card is needed: /dev/{whole}")
    sectors = _number(where / "size")
    if not sectors:
        raise TalusError(f"--device {path}: there is no card in it")
    parts = {name, *(each.name for each in where.iterdir() if (each / "partition").exists())}
    # A USB reader of SD cards says "removable"; a reader that is built in is an mmc device.
    card = name.startswith("mmcblk") and _text(where / "device/type") == "SD"
    return Device(
        path=Path("/dev") / name,
        model=_model(where),
        bytes=sectors * SECTOR,
        removable=card or _number(where / "removable") == 1,
        read_only=_number(where / "ro") == 1,
        mounted=_mounted(root, parts) + _held(where, parts),
        seen=_text(where / "diskseq"),
    )


def objections(device: Device, *, sure: bool) -> str:
    """Return why a device must not be written, "" where it may be. ``sure``: --yes-really."""
    if device.mounted:
        used = "; ".join(device.mounted[:4])
        return f"{device.path}: is in use: {used}: umount it, if that is the card"
    if device.read_only:
        return f"{device.path}: is read-only: the slider at the side of the card?"
    if device.bytes > MAX_CARD_BYTES:
        return f"{device.path}: has {device.size}: that is no card"
    if not device.removable and not sure:
        return (f"{device.path} ({device.model}, {device.size}): is not removable: a disk of this "
                "PC? --yes-really if it is the card")  # fmt: skip
    return ""


def is_same(one: Device, other: Device) -> bool:
    """Whether it is still the card that was confirmed, not another that came to its name."""
    return (one.path, one.model, one.bytes, one.seen) == (
        other.path, other.model, other.bytes, other.seen
    )  # fmt: skip


def _model(where: Path) -> str:
    words = [_text(where / "device" / name) for name in ("vendor", "model", "name")]
    return " ".join(word for word in words if word) or "unknown"


def _mounted(root: Path, names: set[str]) -> tuple[str, ...]:
    """Return where partitions are mounted or swapped to, also under names of links."""
    found = []
    numbers = {_text(root / "sys/class/block" / name / "dev"): name for name in names}
    devices = {f"/dev/{name}": name for name in names}  # btrfs makes up a number of its own
    for line in _text(root / "proc/self/mountinfo").splitlines():
        about, _, of = line.partition(" - ")
        fields, source = about.split(), [*of.split(), "", ""][1]
        if len(fields) > 4 and (name := numbers.get(fields[2]) or devices.get(source)):
            place = _WORD.sub(lambda m: chr(int(m[1], 8)), fields[4])
            found.append(f"{name} is mounted at {place}")
    swaps = [line.split()[0] for line in _text(root / "proc/swaps").splitlines()[1:]]
    found += [f"{each} is swap" for each in swaps if Path(each).name in names]
    return tuple(found)


def _held(where: Path, names: set[str]) -> tuple[str, ...]:
    """Return what is built upon it: RAID, LVM, encryption."""
    found = []
    for name in sorted(names):
        holders = (where if name == where.name else where / name) / "holders"
        if holders.is_dir():
            found += [f"{name} carries {each.name}" for each in sorted(holders.iterdir())]
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0
