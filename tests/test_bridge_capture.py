"""Captures: written and read back; damage is named with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.capture import (
    FLUSH_MS,
    HEADER,
    MAX_CHUNK_BYTES,
    CaptureError,
    CaptureWriter,
    Chunk,
    ClockSet,
    read_capture,
)

CHUNKS = st.builds(
    Chunk,
    st.integers(0, 10**13),
    st.sampled_from(["a", "node-1"]),
    st.binary(min_size=1, max_size=99),
)


@given(st.lists(CHUNKS, max_size=8))
def test_chunks_come_back(tmp_path_factory: pytest.TempPathFactory, chunks: list[Chunk]) -> None:
    path = tmp_path_factory.mktemp("capture") / "c.txt"
    for part in (chunks[:3], chunks[3:]):  # a capture can be continued
        with CaptureWriter(path) as writer:
            for chunk in part:
                writer.write(chunk.received_ms, chunk.source, chunk.data)
    assert list(read_capture(path)) == chunks
    assert path.read_text().startswith(HEADER + "\n")


def test_a_long_chunk_is_split(tmp_path: Path) -> None:
    data = bytes(2 * MAX_CHUNK_BYTES + 1)
    with CaptureWriter(tmp_path / "c") as writer:
        writer.write(1, "a", data)
    read = list(read_capture(tmp_path / "c"))
    assert [len(chunk.data) for chunk in read] == [MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, 1]


def test_what_is_a_while_old_is_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        writer.write(0, "a", b"1")
        writer.write(FLUSH_MS, "a", b"2")
        assert [chunk.data for chunk in read_capture(tmp_path / "c")] == [b"1", b"2"]


def test_what_a_power_cut_left_of_a_line_does_not_spoil_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with CaptureWriter(path) as writer:
        writer.write(1, "a", b"first")
        writer.write(2, "a", b"second")
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with CaptureWriter(path) as writer:
            writer.write(3, "a", b"after")
        sound = [b"first", b"second"][: max(0, whole[:cut].count(b"\n") - 1)]
        assert [chunk.data for chunk in read_capture(path)] == [*sound, b"after"]


def test_a_file_that_is_no_capture_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"a note\nand half")
    CaptureWriter(path).close()
    assert path.read_bytes() == b"a note\nand half"


def test_a_port_that_was_opened_is_a_chunk_of_no_bytes(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        writer.write(5, "a", b"")
    assert list(read_capture(tmp_path / "c")) == [Chunk(5, "a", b"")]


@pytest.mark.parametrize("step_ms", [5000, -86_400_000])
def test_a_clock_that_was_set_is_told_in_its_place(tmp_path: Path, step_ms: int) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        writer.write(1, "a", b"1")
        writer.clock_set(7, step_ms)
        writer.write(8, "a", b"2")
    read = list(read_capture(tmp_path / "c"))
    assert read == [Chunk(1, "a", b"1"), ClockSet(7, step_ms), Chunk(8, "a", b"2")]


@pytest.mark.parametrize("remark", ["", "1", "1 2", "+1 +2", "1 +", "1 +2 3", "1 +2x", "1 +²"])
def test_a_remark_about_a_clock_is_only_a_remark(tmp_path: Path, remark: str) -> None:
    (tmp_path / "c").write_text(f"{HEADER}\n# clock {remark}\n5 a 01\n", encoding="utf-8")
    assert list(read_capture(tmp_path / "c")) == [Chunk(5, "a", b"\x01")]


@pytest.mark.parametrize("source", ["", "two words", "x" * 65, "a\n", "ü"])
def test_a_source_that_is_no_word_is_refused(tmp_path: Path, source: str) -> None:
    with CaptureWriter(tmp_path / "c") as writer, pytest.raises(ValueError, match="source"):
        writer.write(0, source, b"x")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"12 a 0g\n", "hexadecimal"),
        (b"12 a 0\n", "hexadecimal"),
        (b"12 a\n", "2 words"),
        (b"-12 a 00\n", "received_ms"),
        (b"1" * 30 + b" a 00\n", "received_ms"),
        (b"12 \xff 00\n", "source"),
        (b"12 a " + b"00" * (MAX_CHUNK_BYTES + 1) + b"\n", "at most|longer"),
        (b"12 a " + b"00" * 20_000 + b"\n", "longer"),
        (b"12 a 0000", "cut short"),
    ],
)
def test_damage_is_named_after_what_is_sound(tmp_path: Path, line: bytes, fault: str) -> None:
    path = tmp_path / "c"
    path.write_bytes(HEADER.encode() + b"\n# a remark\n\n5 a 01\n" + line)
    chunks = read_capture(path)
    assert next(chunks) == Chunk(5, "a", b"\x01")
    with pytest.raises(CaptureError, match=fault) as caught:
        next(chunks)
    assert str(caught.value).startswith(f"{path}:5: ")


@pytest.mark.parametrize("text", [b"", b"hello\n", b"# talus-capture 2\n", b"\xff\xfe\n"])
def test_a_file_that_is_no_capture(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "c").write_bytes(text)
    with pytest.raises(CaptureError, match="c:1: "):
        list(read_capture(tmp_path / "c"))
