"""The capture of a gateway: it ends where the disk fails, and the watch goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge.recorder import Recorder
from firmware_bridge.capture import FLUSH_BYTES, Chunk, ClockSet, read_capture


def test_what_came_in_is_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "c")
    recorder.write(1, "node", b"")
    recorder.write(2, "node", b"x")
    recorder.clock_set(9, 5)
    recorder.close()
    assert recorder.state == ""
    read = list(read_capture(tmp_path / "c"))
    assert read == [Chunk(1, "node", b""), Chunk(2, "node", b"x"), ClockSet(9, 5)]


@pytest.mark.parametrize("place", [None, Path("/dev/full"), Path("/nowhere/at/all")])
def test_without_a_place_to_write_to_the_gateway_starts_all_the_same(place: Path | None) -> None:
    recorder = Recorder(place)
    assert recorder.state.startswith("ended") == (place is not None)
    recorder.write(1, "node", b"x")
    recorder.clock_set(1, 5)
    recorder.close()


def test_a_disk_that_fills_up_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: a tmpfs cannot be mounted here (not root)")
    try:
        recorder = Recorder(tmp_path / "c")
        for i in range(4):
            recorder.write(i, "node", bytes(FLUSH_BYTES))
        assert recorder.state.startswith("ended: [Errno 28]")
        recorder.close()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
