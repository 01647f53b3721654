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
