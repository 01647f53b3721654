"""The benchmark of the link: what its pure parts count, and what it says of absent ones."""

from __future__ import annotations

import importlib
import json
import random
import sys
from typing import Any

import pytest
from bench_modules import FOLDER, imported
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.framing import BadFrame, Frame, FrameDecoder, encode


@pytest.fixture(scope="module")
def parts() -> Any:
    with imported("link", "link_frames", "link_cpu") as found:
        yield found


def test_a_damage_is_where_it_says_and_nowhere_else(parts) -> None:
    wires = [encode(frame) for frame in parts.link_frames.numbered(400, 1)]
    whole = b"".join(wires)
    stream, places = parts.link_frames.damaged(wires, "flip", 1)
    changed = [i for i, (a, b) in enumerate(zip(whole, stream, strict=True)) if a != b]
    assert changed == places
    assert len(places) >= len(whole) // parts.link_frames.SPACING - 2
    assert len(parts.link_frames.damaged(wires, "drop", 1)[0]) < len(whole)
    assert len(parts.link_frames.damaged(wires, "insert", 1)[0]) > len(whole)


@pytest.mark.parametrize("kind", ["flip", "drop", "insert", "burst"])
def test_what_damage_costs_is_counted(parts, kind) -> None:
    found = parts.link_frames.measure(kind, 4000)
    assert found.events > 80
    assert 0.8 < found.lost_per_event <= 1.2
    assert found.false_frames == 0
    assert 0 < found.resync_bytes <= found.resync_bytes_worst < parts.link_frames.SPACING


def test_a_stale_frame_is_a_false_one(parts, monkeypatch) -> None:
    """A decoder that gives a frame of its own making is found out."""

    class Inventive(FrameDecoder):
        def receive(self, data: bytes) -> list[Frame | BadFrame]:
            found = super().receive(data)
            made = Frame(1, 0, 0x30, 1, 0, b"\0\0\0\0 made up")
            return [made if isinstance(item, BadFrame) else item for item in found]

    monkeypatch.setattr(parts.link_frames, "FrameDecoder", Inventive)
    assert parts.link_frames.measure("flip", 400).false_frames > 0
    assert parts.link_frames.false_frames(200)[1] > 100


def test_the_distance_to_the_next_good_frame(parts) -> None:
    assert parts.link_frames.resyncs([10, 95, 300], [50, 100, 150]) == [40, 5]
    assert parts.link_frames.resyncs([50], [50, 100]) == [50]


@given(st.integers(0, 2**32), st.binary(min_size=12, max_size=40))
def test_hurt_bytes_differ_or_are_no_damage(seed: int, wire: bytes) -> None:
    sys.path.append(str(FOLDER))
    try:
        hurt = importlib.import_module("link_frames").hurt
    finally:
        sys.path.remove(str(FOLDER))
    assert len(wire) - 8 <= len(hurt(random.Random(seed), wire)) <= len(wire) + 64


def test_no_false_frame_in_few(parts) -> None:
    assert parts.link_frames.false_frames(3000) == (3000, 0)


def test_frames_and_readings_are_timed_whole(parts) -> None:
    wires = parts.link_frames.sampled(parts.link_frames.make_node(20), 300, 20)
    assert len(parts.link_frames.timed_frames(wires, 2)) == 2
    assert all(us > 0 for us in parts.link_frames.timed_readings(300, 20, 2))
    with pytest.raises(RuntimeError, match="299 frames of 300"):
        parts.link_frames.timed_frames([b"\0\x05junk\0", *wires[1:-1], b"\0"], 1)


def test_a_node_of_its_own_is_read(parts) -> None:
    found = parts.link_cpu.share(0.3)
    assert found.readings > 10
    assert found.rate_hz < 1.5 * parts.link_cpu.RATE_HZ
    assert 0.0 < found.cpu_share < 1.0
    assert found.wakes_per_reading > 0


def test_what_finds_no_room_is_lost_and_counted(parts, tmp_path) -> None:
    pty = parts.link_cpu.PacedPty(tmp_path / "node")
    try:
        with (tmp_path / "node").open("rb", buffering=0):  # listens, and reads nothing
            for _ in range(5000):
                assert pty.write(b"\x55" * 100, 0) == b"\x55" * (100 - parts.link_cpu.PACKET)
                if pty.no_room:
                    break
        assert pty.no_room == 1
    finally:
        pty.close()


def test_everything_lost_is_an_overrun(parts, tmp_path) -> None:
    reader = parts.link_cpu.Reader(tmp_path / "none", 1.0)
    for sequence in [*range(parts.link_cpu.SETTLE), 205, 204, 206, 209]:
        reader._take(sequence)
    reader._took, reader._damaged = 1.0, 3
    missing = len((200, 201, 202, 203, 207, 208))
    assert reader.share(no_room=10, resent=100).overruns == 100 + 10 + 3 + missing


def test_a_part_that_is_absent_or_breaks_is_named_and_never_zero(parts, capsys) -> None:
    link = parts.link

    def absent(**_: bool) -> dict[str, float]:
        link.part("link_of_another_world")
        return {}

    def broken(**_: bool) -> dict[str, float]:
        raise ValueError("it broke")

    def partial(**_: bool) -> dict[str, float]:
        return {"modbus_stray_ok": 52}

    def whole(**_: bool) -> dict[str, float]:
        return link.known("", overruns=0)

    wanted = {"a": absent, "b": broken, "modbus_stray_ok, other_stray_ok": partial,
              "overruns": whole}  # fmt: skip
    figures, broke = link.gather(wanted, quick=True)
    said = capsys.readouterr().out
    assert figures == {"modbus_stray_ok": 52, "overruns": 0}
    assert broke == ["b"]
    for name in ("a", "b", "other_stray_ok"):
        assert f"\n{name}: not measured: " in said
    with pytest.raises(link.NotMeasuredError, match="no compiler"):
        link.known("no compiler", codec_flash_bytes=None)


def test_the_table_says_what_is_met(parts) -> None:
    text = parts.link.table({"modbus_stray_ok": 51, "overruns": 0, "cpu_share_32ch_100hz": 0.26})
    rows = {line.split()[0]: line for line in text.splitlines()}
    assert rows["modbus_stray_ok"].endswith("MISSED")
    assert rows["overruns"].endswith("  met")
    assert rows["cpu_share_32ch_100hz"].endswith("MISSED")
    assert rows["codec_flash_bytes"].endswith("not measured")
    assert json.dumps({"a": parts.link.TARGETS["overruns"].value}) == '{"a": 0}'
