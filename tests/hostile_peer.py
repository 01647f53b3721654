"""An instrument and its driver, and the worst that a peer can say to it."""

from __future__ import annotations

from collections import Counter
from random import Random

from gnss_rows import ENU, epoch, format_of, row_at

from firmware_bridge.drivers.gnss import GnssDriver
from firmware_bridge.drivers.lines import LineDriver, LineFormat
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import VERSION, Frame, encode
from firmware_bridge.messages import DATA, DATA_BATCH, DESCRIBE, HELLO
from firmware_bridge.reading import Channel, Driver, Dropped, Quantity, Reading, Unit
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.ubx import encode_message

NOW_MS = 1_760_000_000_000
KINDS = ("tw1", "lines", "gnss")
CHANNELS = (
    Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000),
    Channel("pore", Quantity.PORE_PRESSURE, Unit.KPA, -100.0, 300.0, 1000),
)

Items = list[Reading | Dropped]


class Talk:
    """A driver and its instrument: the bytes of row i, whose first value is ``i / 4``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.node = SimulatedNode(describe(CHANNELS))
        if kind == "tw1":
            self.driver: Driver = Tw1Driver("port-1", clock="arrival")
        elif kind == "gnss":
            self.driver = GnssDriver("port-1", format_of("relposned", ENU))
        else:
            format_ = LineFormat(",", (("x", 1), ("y", 2)), 3, record_column=0)
            self.driver = LineDriver("port-1", format_)
        self.driver.opened(NOW_MS)
        self.answer(NOW_MS)

    def answer(self, now_ms: int) -> Items:
        """Let the node answer until nothing more is asked."""
        found: Items = []
        for _ in range(50):
            asked = self.driver.write_next(now_ms)
            if not asked or self.kind != "tw1":
                break
            found += self.driver.receive(self.node.receive(asked), now_ms)
        return found

    def row(self, i: int) -> bytes:
        if self.kind == "tw1":
            return b"".join(self.node.sample((i / 4, 1.0), i * 10**6))
        if self.kind == "gnss":
            return epoch(row_at(i))
        return f"{i},{i / 4},1.0\r\n".encode()


def readings(items: Items) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def reasons(items: Items) -> Counter[str]:
    return Counter(item.reason for item in items if isinstance(item, Dropped))


def hostile(kind: str, talk: Talk, random: Random) -> bytes:
    """A piece of the worst that a peer can say."""
    valid = talk.row(random.randrange(10**6))
    choice = random.randrange(7)
    if choice == 0:
        return random.randbytes(random.randrange(600))
    if choice == 1:
        return valid[: random.randrange(len(valid))]
    if choice == 2:
        return valid[random.randrange(len(valid)) :]
    if choice == 3:
        return valid * random.randrange(3)
    if choice == 4:
        return bytes((random.choice(b"\x00\xb5$\r,1\xff"),)) * random.randrange(5000)
    return {"tw1": hostile_tw1, "lines": hostile_line, "gnss": hostile_gnss}[kind](random)


def hostile_tw1(random: Random) -> bytes:
    """A sound frame that says anything: huge counts, any schema, any boot."""
    kind = random.choice((HELLO, DESCRIBE, DATA, DATA_BATCH, 0x10, 0x20, 0x32, 0x3F, 0x77))
    payload = random.choice((random.randbytes(random.randrange(245)), b"\xff" * 244))
    flags = random.choice((0, 2, 4, 6, 8, 15))
    return encode(Frame(VERSION, flags, kind, random.randrange(1 << 16), random.randrange(256),
                        payload))  # fmt: skip


def hostile_line(random: Random) -> bytes:
    cells = random.choice((1, 3, 3, 3, 65_535))
    cell = random.choice(("1", "1e999", "-0.0", "", "nan", "9" * 400, "\x1b[2J", "\xe9"))
    record = random.randrange(10**18)
    return (f"{record}," + ",".join([cell] * (cells - 1))).encode("latin-1") + b"\r\n"


def hostile_gnss(random: Random) -> bytes:
    claimed = random.choice((0, 92, 4096, 4097, 65_535))
    kind = random.choice(((1, 7), (1, 0x3C), (1, 0x14), (5, 0), (0x0A, 4)))
    return random.choice(
        (
            b"\xb5\x62" + bytes(kind) + claimed.to_bytes(2, "little"),
            encode_message(kind, random.randbytes(random.choice((64, 92, 4096)))),
            b"$GNGGA," + b"9" * random.randrange(700),
        )
    )
