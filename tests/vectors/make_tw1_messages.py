"""Vectors of messages: payloads with what they say, None where they make no sense.

Each is [kind, payload, fields or None, payload as it is written anew (None: as it came)].
"""

from __future__ import annotations

import math
import struct
from random import Random

import tw1_reference as ref

U8, U16, U32, U64 = (1 << 8) - 1, (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1
PRINTABLE = bytes(range(0x20, 0x7F))
PLAIN = b"abcdefghijklmnopqrstuvwxyz_0123456789"
QUANTITIES, UNITS = 14, 14

Vector = list[object]


def edgy(rng: Random, top: int) -> int:
    return rng.choice((0, 1, top, top - 1, top // 2, rng.randint(0, top), rng.randint(0, top)))


def sized(rng: Random, kind: str, sizes: set[int], top: int = 40) -> list[Vector]:
    """Payloads of every size but the right ones."""
    wrong = [size for size in range(top) if size not in sizes]
    return [[kind, rng.randbytes(size).hex(), None, None] for size in wrong]


def hello(rng: Random) -> list[Vector]:
    made = sized(rng, "hello", {28})
    for _ in range(160):
        boot_id, schema, max_raw = edgy(rng, U32), edgy(rng, U16), edgy(rng, U16)
        uid, firmware, image = rng.randbytes(8), rng.randbytes(3), rng.randbytes(8)
        cause = edgy(rng, U8)
        payload = ref.le(boot_id, 4) + uid + firmware + image
        payload += ref.le(schema, 2) + ref.le(max_raw, 2) + bytes((cause,))
        fields = [boot_id, uid.hex(), list(firmware), image.hex(), schema, max_raw, cause]
        made.append(["hello", payload.hex(), fields, None])
    return made


def f32(value: float) -> bytes:
    return struct.pack("<f", value)


def record(rng: Random, index: int, count: int, **fixed: object) -> tuple[list[object], bytes]:
    """The fields of a DESCRIBE that makes sense, and its payload."""
    low, high = sorted(rng.sample(range(-99_999, 99_999), 2))
    scale = rng.choice((1, 10, 1000))
    name = bytes(rng.choice(PLAIN) for _ in range(rng.randint(1, 14))) + b"%02d" % index
    made: dict[str, object] = {
        "quantity": rng.randrange(QUANTITIES), "unit": rng.randrange(UNITS),
        "dtype": rng.randrange(4), "exp10": rng.choice((0, 0, -1, -3, -6, 2, -30, 30)),
        "period_ms": edgy(rng, U32), "low": low / scale, "high": high / scale, "name": name,
    } | fixed  # fmt: skip
    payload = bytes((index, count, made["quantity"], made["unit"], made["dtype"]))
    payload += ref.le(made["exp10"], 1) + ref.le(made["period_ms"], 4)
    payload += f32(made["low"]) + f32(made["high"]) + made["name"]
    fields = [index, count, made["quantity"], made["unit"], made["dtype"], made["exp10"],
              made["period_ms"], bound(made["low"]), bound(made["high"]),
              made["name"].decode("latin-1")]  # fmt: skip
    return fields, payload


def bound(value: float) -> float | None:
    return value if math.isfinite(value) else None


def describe(rng: Random) -> list[Vector]:
    made = sized(rng, "describe", set(range(19, 35)), 60)

    def good(index: int = 0, count: int = 1, **fixed: object) -> None:
        fields, payload = record(rng, index, count, **fixed)
        made.append(["describe", payload.hex(), fields, None])

    def bad(index: int = 0, count: int = 1, **fixed: object) -> None:
        made.append(["describe", record(rng, index, count, **fixed)[1].hex(), None, None])

    def changed(given: dict[str, object], meant: dict[str, object], pad: int = 0) -> None:
        """Says the same as another payload, the one that is written anew."""
        state = rng.getstate()
        _, payload = record(rng, 0, 1, **given)
        rng.setstate(state)
        fields, again = record(rng, 0, 1, **meant)
        made.append(["describe", (payload + bytes(pad)).hex(), fields, again.hex()])

    for _ in range(120):
        count = rng.randint(1, 64)
        good(rng.randrange(count), count)
    for each in range(QUANTITIES):
        good(quantity=each)
        good(unit=each)
    for dtype in range(4):
        for exp10 in range(-30, 31, 4):
            good(dtype=dtype, exp10=exp10)
    for byte in PRINTABLE:
        good(name=bytes((byte,)))
    for byte in (*range(0x20), 0x7F, *range(0x80, 0x100, 9)):
        bad(name=b"a" + bytes((byte,)) + b"b")
    for size in range(1, 17):
        good(name=b"n" * size)
        bad(name=bytes(size))
    for index, count in ((0, 0), (1, 1), (5, 2), (64, 64), (0, 65), (64, 65), (255, 255)):
        bad(index, count)
    for dtype in (4, 5, 100, 255):
        bad(dtype=dtype)
    for exp10 in (31, -31, 32, 64, 127, -128):
        bad(exp10=exp10)
    for low, high in ((1.0, 0.0), (0.0, -1.0), (math.inf, 1.0), (0.0, -math.inf), (2.5, -2.5)):
        bad(low=low, high=high)
    endless = {"low": -math.inf, "high": math.inf}
    for low, high in ((0.0, 0.0), (-0.0, 0.0), (5.5, 5.5), (math.nan, math.nan)):
        changed({"low": low, "high": high}, endless)
    good(**endless)
    for _ in range(10):
        changed({"low": math.nan, "high": 7.5}, {"low": -math.inf, "high": 7.5})
        changed({"low": -7.5, "high": math.nan}, {"low": -7.5, "high": math.inf})
    for code in (14, 15, 99, 200, 255):
        changed({"quantity": code}, {"quantity": 0})
        changed({"unit": code}, {"unit": 0})
    for pad in range(1, 12):
        changed({"name": b"tilt"}, {"name": b"tilt"}, pad)
    return made


def commands(rng: Random) -> list[Vector]:
    made = sized(rng, "sync_request", {8}) + sized(rng, "sync", {24}) + sized(rng, "reboot", {4})
    made += sized(rng, "enter_update", {5}) + sized(rng, "resend", {8})
    made += sized(rng, "get_set", {2, 6})
    for _ in range(60):
        t1, t2, t3 = (edgy(rng, U64) for _ in range(3))
        made.append(["sync_request", ref.le(t1, 8).hex(), [t1], None])
        payload = ref.le(t1, 8) + ref.le(t2, 8) + ref.le(t3, 8)
        made.append(["sync", payload.hex(), [t1, t2, t3], None])
    for _ in range(40):
        boot_id, mode = edgy(rng, U32), rng.choice((0, 0, 1, 255))
        made.append(["reboot", ref.le(boot_id, 4).hex(), [boot_id], None])
        payload = ref.le(boot_id, 4) + bytes((mode,))
        made.append(["enter_update", payload.hex(), [boot_id, mode], None])
    for key in range(0, 256, 3):
        value = edgy(rng, U32)
        made.append(["get_set", bytes((0, key)).hex(), [0, key, None], None])
        for op in (0, 1):
            payload = bytes((op, key)) + ref.le(value, 4)
            made.append(["get_set", payload.hex(), [op, key, value], None])
        bad = bytes((rng.randrange(2, 256), key))
        made.append(["get_set", (bad + ref.le(value, 4)).hex(), None, None])
        made.append(["get_set", bytes((rng.randrange(1, 256), key)).hex(), None, None])
    for span in (1, 2, 3, 10, 255, 256, 257, 258, 1000, 1 << 31, U32):
        for first in (0, 1, 5, 1 << 31, U32 - 300, U32 - 2, U32, rng.randint(0, U32)):
            last = (first + span - 1) & U32
            payload = ref.le(first, 4) + ref.le(last, 4)
            made.append(["resend", payload.hex(), [first, last] if span <= 256 else None, None])
    return made


def stats(rng: Random) -> list[Vector]:
    made = sized(rng, "stats", {20})
    for _ in range(120):
        fields = [edgy(rng, U32) for _ in range(4)] + [edgy(rng, U16) for _ in range(2)]
        payload = b"".join(ref.le(each, 4) for each in fields[:4])
        payload += b"".join(ref.le(each, 2) for each in fields[4:])
        made.append(["stats", payload.hex(), list(fields), None])
    return made


def messages(rng: Random) -> list[Vector]:
    return hello(rng) + describe(rng) + commands(rng) + stats(rng)
