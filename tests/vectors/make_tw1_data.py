"""Vectors of DATA and DATA_BATCH: layouts with their schema, and samples packed by them.

A sample is [kind, payload, fields or None, payload as it is written anew (None: as it came)]; the
fields are [index, t_us, dt_us, rows], a row is [valid bits, numbers, values, reasons]: numbers as
they are packed (f32 as its bits), values None where missing. Written anew, what is not valid is 0.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from random import Random

import tw1_reference as ref
from make_tw1_messages import U16, U32, edgy, record

Layout = list[list[object]]
F32_ODD = (0x7FC00000, 0xFFC00001, 0x7F800000, 0xFF800000, 0x7F800001)
"""NaN, infinity."""
LIMITS = ((-(2**15), 2**15 - 1), (-(2**31), 2**31 - 1), (0, 2**32 - 1))


def number_of(rng: Random, dtype: int) -> int:
    if dtype == 3:
        if rng.random() < 0.15:
            return rng.choice(F32_ODD)
        return ref.un(struct.pack("<f", rng.choice((0.0, -0.0, 1.5, rng.uniform(-1e4, 1e4)))))
    low, high = LIMITS[dtype]
    return rng.choice((0, 1, low, high, rng.randint(low, high), rng.randint(max(low, -999), 999)))


def value_of(dtype: int, exp10: int, number: int) -> float | str:
    """The value, or why it is none."""
    exact: Fraction
    if dtype == 3:
        if number >> 23 & 0xFF == 0xFF:
            return "nan" if number & 0x7FFFFF else "inf"
        exact = Fraction(struct.unpack("<f", ref.le(number, 4))[0])
    else:
        exact = Fraction(number)
    return float(exact * Fraction(10) ** exp10)


def row_of(rng: Random, layout: Layout) -> tuple[bytes, list[object], bytes]:
    dtypes = [int(each[4]) for each in layout]
    rare = rng.choice((1.0, 1.0, 0.8, 0.0))
    valid = [int(rng.random() < rare) for _ in layout]
    numbers = [number_of(rng, dtype) for dtype in dtypes]
    values: list[float | None] = []
    reasons: list[list[object]] = []
    for i, each in enumerate(layout):
        value: float | str = value_of(dtypes[i], int(each[5]), numbers[i])
        low, high = each[7], each[8]
        if not valid[i]:
            value = "invalid"
        elif isinstance(value, float) and (
            (low is not None and value < low) or (high is not None and value > high)
        ):
            value = "range"
        if isinstance(value, str):
            reasons.append([i, value])
        values.append(None if isinstance(value, str) else value)
    sent = [
        bit and not (dtype == 3 and number in F32_ODD)
        for dtype, bit, number in zip(dtypes, valid, numbers, strict=True)
    ]
    again = ref.packed_row(
        dtypes,
        [int(bit) for bit in sent],
        [n if bit else 0 for n, bit in zip(numbers, sent, strict=True)],
    )
    return ref.packed_row(dtypes, valid, numbers), [valid, numbers, values, reasons], again


def sample(
    kind: str, head: bytes, packs: list[bytes], anews: list[bytes], fields: list[object]
) -> list[object]:
    payload, again = head + b"".join(packs), head + b"".join(anews)
    return [kind, payload.hex(), fields, None if again == payload else again.hex()]


def samples(rng: Random, layout: Layout, schema: int, size: int, count: int) -> list[list[object]]:
    made: list[list[object]] = []
    for _ in range(count):
        index, t_us, dt_us = edgy(rng, U32), edgy(rng, 1 << 60), edgy(rng, U32)
        packed, row, anew = row_of(rng, layout)
        head = ref.le(schema, 2) + ref.le(index, 4) + ref.le(t_us, 8)
        made.append(sample("data", head, [packed], [anew], [index, t_us, 0, [row]]))
        if rng.random() < 0.3:
            wrong = (head + packed)[: rng.randrange(14 + size)] or b"\0"
            wrong = wrong if rng.random() < 0.5 else head + packed + b"\1"
            made.append(["data", wrong.hex(), None, None])
        fit = (244 - 19) // size
        if not fit:
            continue
        rows = [row_of(rng, layout) for _ in range(min(fit, rng.choice((1, 2, 3, 5, fit))))]
        head += ref.le(dt_us, 4)
        packs, said, anews = (list(part) for part in zip(*rows, strict=True))
        body = b"".join(packs)
        payload = head + bytes((len(rows),)) + body
        fields = [index, t_us, dt_us, said]
        made.append(sample("batch", payload[:19], packs, anews, fields))
        if rng.random() < 0.4:
            wrong = rng.choice(
                (
                    head + bytes((len(rows) + 1,)) + body,
                    head + bytes((len(rows) - 1,)) + body,
                    head + b"\0",
                    head + b"\0" + body,
                    payload[:-1],
                    payload + b"\0",
                    payload[: rng.randrange(2, 19)],
                )
            )
            made.append(["batch", wrong.hex(), None, None])
    return made


def layout_of(rng: Random, dtypes: list[int], exp10: int | None = None) -> tuple[Layout, list[str]]:
    count = len(dtypes)
    layout, payloads = [], []
    for i, dtype in enumerate(dtypes):
        endless = rng.random() < 0.3
        fixed: dict[str, object] = {"dtype": dtype}
        if exp10 is not None:
            fixed["exp10"] = exp10
        if endless:
            fixed |= {"low": float("-inf"), "high": float("inf")}
        fields, payload = record(rng, i, count, **fixed)
        layout.append(fields)
        payloads.append(payload.hex())
    return layout, payloads


def layouts(rng: Random) -> list[dict[str, object]]:
    wanted = [([dtype], exp10) for dtype in range(4) for exp10 in range(-30, 31, 5)]
    wanted += [(rng.choices(range(4), k=count), None) for count in range(1, 36)]
    wanted += [([0] * 64, None), ([3] * 55, None), ([1, 0] * 10, -3), ([0] * 8, 0), ([2] * 9, 0)]
    made: list[dict[str, object]] = []
    for dtypes, exp10 in wanted:
        layout, payloads = layout_of(rng, dtypes, exp10)
        size = -(-len(dtypes) // 8) + sum(ref.DTYPE_SIZE[dtype] for dtype in dtypes)
        schema = ref.crc32(bytes.fromhex("".join(payloads))) & U16
        count = 8 if len(dtypes) < 8 else 3
        made.append({"describe": payloads, "schema": schema, "row": size,
                     "samples": samples(rng, layout, schema, size, count)})  # fmt: skip
    return made


def refused_layouts(rng: Random) -> list[list[str]]:
    """Channels whose sample would not fit into one frame."""
    return [layout_of(rng, [dtype] * count)[1]
            for dtype in (1, 2, 3) for count in (56, 57, 64)]  # fmt: skip
