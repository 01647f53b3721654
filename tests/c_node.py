"""The C node as a process that is spoken to in lines, and what it measures."""

from __future__ import annotations

import math
import struct
import subprocess
from pathlib import Path

from firmware_bridge.framing import ACK_REQ, ERROR, RESPONSE, VERSION, Frame, FrameDecoder, encode
from firmware_bridge.messages import (
    Description,
    DType,
)
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.sim_node import KEPT

DTYPES = (DType.I32, DType.I16, DType.U32, DType.F32)
RECORDS = tuple(
    Description(i, len(DTYPES), Channel(f"c{i}", Quantity.TILT, Unit.MRAD, -1e5, 1e5, 10), dtype, 0)
    for i, dtype in enumerate(DTYPES)
)
BOOT_ID = 0x5EED0000


class CNode:
    """The C node, in a process of its own under ASan and UBSan."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)  # fmt: skip

    def put(self, *words: object) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the C node has died"
        return bytes.fromhex(line)

    def begin(self, boot: int = 0, index: int = 0, capacity: int = KEPT) -> bytes:
        self.put("L", *(each.encode().hex() for each in RECORDS))
        return self.put("B", boot, index, capacity)

    def receive(self, data: bytes, now_us: int = 0, how: str = "R") -> bytes:
        return self.put(how, now_us, data.hex() or "-")

    def sample(self, row: tuple[float, ...], t_us: int, how: str = "V") -> bytes:
        words = []
        for value, dtype in zip(row, DTYPES, strict=True):
            if math.isnan(value):
                words.append("-")
            elif dtype is DType.F32:
                words.append(str(struct.unpack("<I", struct.pack("<f", value))[0]))
            else:
                words.append(str(int(value)))
        return self.put(how, t_us, *words)

    def ask(self, kind: int, payload: bytes = b"", seq: int = 1, now_us: int = 0) -> list[Frame]:
        return frames(self.receive(request(kind, payload, seq), now_us))

    def refusal(self, kind: int, payload: bytes = b"", seq: int = 1) -> int:
        answer, *more = self.ask(kind, payload, seq)
        assert not more
        assert (answer.flags, answer.type, answer.seq) == (RESPONSE | ERROR, kind, seq)
        (code,) = answer.payload
        return code


def request(kind: int, payload: bytes = b"", seq: int = 1, flags: int = ACK_REQ) -> bytes:
    return encode(Frame(VERSION, flags, kind, seq, 0, payload))


def frames(data: bytes) -> list[Frame]:
    found = FrameDecoder().receive(data)
    assert all(isinstance(item, Frame) for item in found)
    return found
