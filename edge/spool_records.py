"""The log of the spool: records one behind the other; reading stops at the first damaged one.

The checksum of a record begins with the generation, so that none of an older log is taken for one
of this. The header says where the log begins, and in which boot: after another nobody knows what
the file lacks.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge.message import Message
from edge.outbox_held import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MESSAGE, GONE, ALL_GONE, ROW, ROWS_OUT = range(5)
"""A message is held; one has left; all are on disk; a row is gathered; all rows are in messages."""
_HEADER = struct.Struct("<8s36sII")
START = (64, 64 + 1024 * 1024)
"""Where a log may begin: the next one is written where the last one is not."""
_RECORD = struct.Struct("<IIBQ")
_MESSAGE = struct.Struct("<QIBHH")
_MAGIC = b"TALUSSP2"


Row = tuple[str, str, list[Any], int, int]
"""Station, row as text, flags, readings it stands for, stamp of the channels its values are of."""


def stamp(channels: Sequence[str]) -> int:
    """Return what is another number for other channels, or for another order of them."""
    return zlib.crc32("\n".join(channels).encode())


@dataclass
class Left:
    """What an earlier run has left."""

    messages: list[Stored] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def header(boot: bytes, generation: int, start: int) -> bytes:
    """Return what makes a log the one that counts."""
    return _HEADER.pack(_MAGIC, boot, generation, start)


def record(generation: int, kind: int, key: int, body: bytes) -> bytes:
    """Return a record."""
    head = _RECORD.pack(0, len(body), kind, key)[4:]
    crc = zlib.crc32(body, zlib.crc32(head, generation))
    return crc.to_bytes(4, "little") + head + body


def message_body(stored: Stored) -> bytes:
    """Return the body of a record that a message is held."""
    m = stored.message
    topic, label = m.topic.encode(), m.id.encode()
    head = _MESSAGE.pack(stored.put_ms, m.rows, m.priority, len(topic), len(label))
    return head + topic + label + m.payload


def row_body(row: Row) -> bytes:
    """Return the body of a record that a row is gathered."""
    station, text, flags, counted, channels = row
    told = json.dumps(flags) if flags else "[]"
    return f"{station}\n{text}\n{counted}\n{channels}\n{told}".encode()


def _row(body: bytes) -> Row:
    station, text, counted, channels, flags = body.decode().split("\n")
    return station, text, json.loads(flags), int(counted), int(channels)


def read(data: bytes, boot: bytes) -> tuple[int, int, Left]:
    """Return generation and start of the log, 0 if it is none, and what of this boot it holds.

    What no release of this format has written raises ValueError or struct.error.
    """
    if len(data) < _HEADER.size:
        return 0, 0, Left()
    magic, booted, generation, start = _HEADER.unpack_from(data)
    if magic != _MAGIC or start not in START:
        return 0, 0, Left()
    if booted != boot:
        return generation, start, Left()
    held: dict[int, Stored] = {}
    rows: list[Row] = []
    for kind, key, body in _records(data, generation, start):
        if kind == MESSAGE:
            held[key] = _stored(key, body)
        elif kind == GONE:
            held.pop(key, None)
        elif kind == ALL_GONE:
            held.clear()
        elif kind == ROW:
            rows.append(_row(body))
        elif kind == ROWS_OUT:
            rows.clear()
    return generation, start, Left(list(held.values()), rows)


def _records(data: bytes, generation: int, at: int) -> Iterator[tuple[int, int, bytes]]:
    while at + _RECORD.size <= len(data):
        crc, size, kind, key = _RECORD.unpack_from(data, at)
        body = data[at + _RECORD.size : at + _RECORD.size + size]
        head = data[at + 4 : at + _RECORD.size]
        if len(body) != size or zlib.crc32(body, zlib.crc32(head, generation)) != crc:
            return
        yield kind, key, body
        at += _RECORD.size + size


def _stored(key: int, body: bytes) -> Stored:
    put_ms, rows, priority, topic, label = _MESSAGE.unpack_from(body)
    rest = body[_MESSAGE.size :]
    payload = rest[topic + label :]
    name, ident = rest[:topic].decode(), rest[topic : topic + label].decode()
    return Stored(key, Message(name, payload, priority, rows=rows, id=ident), put_ms)
