"""TW1 frames: how fast they are decoded, what damage costs, whether any false one gets through."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass
from itertools import cycle

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import VERSION, BadFrame, Frame, FrameDecoder, encode
from firmware_bridge.messages import DATA, DType
from firmware_bridge.reading import Channel, Quantity, Reading, Unit
from firmware_bridge.sim_node import SimulatedNode, describe

SPACING = 2000
"""Bytes between two damage events, on average (wire-protocol.md)."""
KINDS = ("flip", "drop", "insert", "burst")
READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Damage:
    """What one kind of damage cost."""

    kind: str
    events: int
    lost_per_event: float
    false_frames: int
    resync_bytes: float
    """Median of the bytes from a damage to the end of the next good frame."""
    resync_bytes_worst: int


def numbered(count: int, seed: int, size: int = 40) -> list[Frame]:
    """Give frames whose payload is their number and ``size`` random bytes."""
    rng = random.Random(seed)
    return [
        Frame(VERSION, 0, DATA, i % 65536, 0, i.to_bytes(4, "little") + rng.randbytes(size))
        for i in range(count)
    ]


def make_node(channels: int, period_ms: int = 1000, dtype: DType = DType.I16) -> SimulatedNode:
    """Give a node of so many tilt channels, to a thousandth of a milliradian."""
    return SimulatedNode(
        describe(
            [
                Channel(f"tilt{i}", Quantity.TILT, Unit.MRAD, -30.0, 30.0, period_ms)
                for i in range(channels)
            ],
            dtype,
            exp10=-3,
        )
    )


def row(number: int, channels: int) -> tuple[float, ...]:
    """Give a row that wanders, in mrad."""
    return tuple((number * 7 + c * 131) % 2000 * 0.01 - 10 for c in range(channels))


def sampled(node: SimulatedNode, count: int, channels: int) -> list[bytes]:
    """Give the wire bytes of so many samples of a node, one a second for a week before."""
    began = 7 * 86_400
    node.sample_index = began
    return [
        frame
        for i in range(count)
        for frame in node.sample(row(i, channels), (began + i) * 1_000_000)
    ]


def timed_frames(wires: list[bytes], rounds: int) -> list[float]:
    """Give the time of a frame in each round, us, decoded in reads of 4 KiB."""
    stream = b"".join(wires)
    took = []
    for _ in range(rounds):
        decoder = FrameDecoder()
        found = 0
        began = time.perf_counter()
        for at in range(0, len(stream), READ_BYTES):
            found += len(decoder.receive(stream[at : at + READ_BYTES]))
        took.append((time.perf_counter() - began) / len(wires) * 1e6)
        if found != len(wires):
            raise RuntimeError(f"{found} frames of {len(wires)}")
    return took


def timed_readings(count: int, channels: int, rounds: int) -> list[float]:
    """Give the time of a reading in each round, us: the whole driver, bytes to `Reading`."""
    node = make_node(channels)
    stream = b"".join(sampled(node, count, channels))
    took = []
    for _ in range(rounds):
        driver = Tw1Driver("n", clock="arrival")
        driver.opened(0)
        for now_ms in range(0, 100_000, 1000):
            driver.receive(node.receive(driver.write_next(now_ms)), now_ms)
        found = 0
        began = time.perf_counter()
        for at in range(0, len(stream), READ_BYTES):
            items = driver.receive(stream[at : at + READ_BYTES], 100_000 + at)
            found += sum(type(item) is Reading for item in items)
        took.append((time.perf_counter() - began) / count * 1e6)
        if found != count:
            raise RuntimeError(f"{found} readings of {count}")
    return took


def damaged(wires: list[bytes], kind: str, seed: int) -> tuple[bytes, list[int]]:
    """Give the stream with one damage every `SPACING` bytes or so, and where each is."""
    rng = random.Random(seed)
    stream = bytearray(b"".join(wires))
    places = []
    at = rng.randrange(SPACING)
    while at < len(stream) - 8:
        places.append(at)
        if kind == "flip":
            stream[at] ^= 1 << rng.randrange(8)
        elif kind == "drop":
            del stream[at]
        elif kind == "insert":
            stream.insert(at, rng.randrange(256))
        else:
            stream[at : at + 8] = rng.randbytes(8)
        at += rng.randrange(SPACING // 2, SPACING * 3 // 2)
    return bytes(stream), places


def measure(kind: str, count: int, seed: int = 5) -> Damage:
    """Damage ``count`` frames so, and account for every one."""
    frames = numbered(count, seed)
    stream, places = damaged([encode(frame) for frame in frames], kind, seed)
    decoder = FrameDecoder()
    arrived: set[int] = set()
    false = at = 0
    ends: list[int] = []
    for piece in stream.split(b"\0"):  # a frame ends at a zero: where, is known exactly
        at += len(piece) + 1
        for item in decoder.receive(piece + b"\0"):
            if isinstance(item, BadFrame):
                continue
            number = int.from_bytes(item.payload[:4], "little")
            if number < count and item == frames[number] and number not in arrived:
                arrived.add(number)
            else:
                false += 1
            ends.append(at)
    lost = (count - len(arrived)) / len(places)
    distances = resyncs(places, ends)
    return Damage(
        kind, len(places), lost, false, statistics.median(distances), max(distances, default=0)
    )


def resyncs(places: list[int], ends: list[int]) -> list[int]:
    """Give the bytes from each place to the first end after it; both rise."""
    found = []
    k = 0
    for place in places:
        while k < len(ends) and ends[k] <= place:
            k += 1
        if k < len(ends):
            found.append(ends[k] - place)
    return found


def hurt(rng: random.Random, wire: bytes) -> bytes:
    """Damage one frame at one to eight places: bytes changed, flipped, cut out or put in."""
    hurt = bytearray(wire)
    for _ in range(rng.randrange(1, 9)):
        place = rng.randrange(len(hurt))
        match rng.randrange(8):
            case 0:
                del hurt[place]
            case 1:
                hurt.insert(place, rng.randrange(256))
            case 2:
                hurt[place : place + 8] = rng.randbytes(8)
            case 3 | 4:
                hurt[place] ^= 1 << rng.randrange(8)
            case _:
                hurt[place] = rng.randrange(256)
    return bytes(hurt)


def false_frames(total: int, seed: int = 9) -> tuple[int, int]:
    """Damage ``total`` frames, each in its own way; gives how many, and the false ones taken.

    False is a frame that was never sent. One whose damage undid itself is not counted as damaged.
    """
    rng = random.Random(seed)
    pool = numbered(256, seed, 24)
    wires = [encode(frame) for frame in pool]
    sent = frozenset(pool)
    count = false = 0
    decoder = FrameDecoder()
    for wire in cycle(wires):
        if count == total:
            break
        broken = hurt(rng, wire)
        if broken.strip(b"\0") == wire.strip(b"\0"):
            decoder.receive(wire)
            continue
        count += 1
        for item in decoder.receive(broken):
            false += isinstance(item, Frame) and item not in sent
    return count, false
