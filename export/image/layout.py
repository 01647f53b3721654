"""Where the partitions of a card are: a classic MBR, which every Raspberry Pi boots from."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edge.errors import TalusError

SECTOR = 512
MIB = 1024 * 1024
FAT32, LINUX = 0x0C, 0x83
FAT_KINDS = frozenset({0x04, 0x06, 0x0B, 0x0C, 0x0E})
FIRST_MIB = 4
"""Cards erase in blocks of up to 4 MiB: partitions begin where those do."""
_ENTRIES, _ENTRY = 446, 16
_NO_CHS = b"\xfe\xff\xff"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition, in sectors of 512 bytes."""

    kind: int
    start: int
    sectors: int
    bootable: bool = False

    @property
    def offset(self) -> int:
        """Return where it begins, in bytes."""
        return self.start * SECTOR

    @property
    def size(self) -> int:
        """Return how long it is, in bytes."""
        return self.sectors * SECTOR


def lay_out(*sizes_mib: tuple[int, int]) -> tuple[Partition, ...]:
    """Return partitions one after the other: each a kind and a size in MiB, the first bootable."""
    found, at_mib = [], FIRST_MIB
    for i, (kind, size_mib) in enumerate(sizes_mib):
        per_mib = MIB // SECTOR
        found.append(Partition(kind, at_mib * per_mib, size_mib * per_mib, bootable=i == 0))
        at_mib += -(-size_mib // FIRST_MIB) * FIRST_MIB
    return tuple(found)


def mbr_bytes(partitions: tuple[Partition, ...], disk_id: int) -> bytes:
    """Return the first sector. Linux knows partition N as PARTUUID ``disk_id`` in hex, -0N."""
    if len(partitions) > 4:
        raise ValueError("an MBR holds four partitions")
    table = bytearray(SECTOR)
    struct.pack_into("<I", table, 440, disk_id)
    for i, each in enumerate(partitions):
        struct.pack_into(
            "<B3sB3sII", table, _ENTRIES + i * _ENTRY, 0x80 if each.bootable else 0, _NO_CHS,
            each.kind, _NO_CHS, each.start, each.sectors,
        )  # fmt: skip
    table[510:] = b"\x55\xaa"
    return bytes(table)


def read_mbr(sector: bytes, image_bytes: int) -> tuple[Partition, ...]:
    """Return the partitions in the first sector. Raises TalusError: no card image."""
    if len(sector) < SECTOR or sector[510:512] != b"\x55\xaa":
        raise TalusError("there is no partition table in it: is it an image of a card?")
    found = []
    for i in range(4):
        status, kind, start, sectors = struct.unpack_from(
            "<B3xB3xII", sector, _ENTRIES + i * _ENTRY
        )
        if kind == 0:
            continue
        if kind == 0xEE:
            raise TalusError("has a GPT: Raspberry Pi OS images have an MBR")
        if not sectors or (start + sectors) * SECTOR > image_bytes:
            raise TalusError(f"partition {i + 1} reaches beyond the end: the image is cut short")
        found.append(Partition(kind, start, sectors, bool(status & 0x80)))
    if not found:
        raise TalusError("its partition table is empty")
    return tuple(found)
