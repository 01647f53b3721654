"""The CRC-16 of Modbus RTU and SDI-12: one polynomial, two beginnings."""

from __future__ import annotations

MODBUS, ARC = 0xFFFF, 0
"""What it begins with: CRC-16/MODBUS, and CRC-16/ARC of SDI-12."""


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_TABLE = _table()


def crc16_of(data: bytes, begin: int) -> int:
    """Give the CRC-16: polynomial 0x8005 reflected, beginning with ``begin``."""
    crc = begin
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc
