"""What leaves: telemetry put into words, and an alarm brought to disk, state and all."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.batch import MAX_ROWS, Batch
from edge.bench_node import EPOCH_MS, Stream, bench_config, warm_up
from edge.bench_spread import Spread, spread
from edge.errors import TalusError
from edge.message import ALARM, Message
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.state_pieces import cut
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from edge.bundle import Bundle

MAX_COMMITS = 200
"""Alarms brought to disk: memory cards wear by it."""
IN_MEMORY = {"tmpfs", "ramfs", "overlay over tmpfs"}


@dataclass(frozen=True, slots=True)
class Leaving:
    """The way out. ``encode`` is us a reading, put into JSON ``rows_a_message`` at once.

    ``commit`` is an alarm with the state that led to it: one transaction, one fsync; ``snapshot``
    is that state taken and put into words before it.
    """

    encode: Spread
    rows_a_message: int
    bytes_a_reading: float
    snapshot: Spread
    commit: Spread
    state_bytes: int
    folder: str
    filesystem: str
    in_memory: bool


def time_leaving(bundle: Bundle, count: int, folder: Path | None) -> Leaving:
    """Time it on the disk of a folder (None: that of temporary files)."""
    try:
        with tempfile.TemporaryDirectory(prefix="talus-bench-", dir=folder) as name:
            return _leaving(bundle, count, Path(name))
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise TalusError(
            f"{where}: {error.strerror or error}: give a folder that can be written to, "
            "on the disk in question (--data-dir)"
        ) from error


def _leaving(bundle: Bundle, count: int, folder: Path) -> Leaving:
    stream = Stream(bundle.manifest)
    pipeline = Pipeline(bench_config(bundle.manifest), {"bench": bundle})
    encode, sizes = _encode(bundle, stream, pipeline, count)
    outbox = Outbox(folder, 1 << 30)
    snapshots, commits = [], []
    payload = b'{"kind":"bench"}'.ljust(1500)  # as long as the alarms of a bundle
    size = 0
    clock = time.perf_counter_ns
    try:
        for i in range(min(MAX_COMMITS, max(10, count))):
            began = clock()
            state = cut("pipeline", pipeline.snapshot())
            between = clock()
            outbox.put([Message("talus/bench/alarm", payload, ALARM, id=f"bench-{i}")], state)
            commits.append((clock() - between) / 1000)
            snapshots.append((between - began) / 1000)
            size = sum(map(len, state.values()))
    finally:
        outbox.close()
    kind = filesystem(folder)
    return Leaving(
        encode=encode, rows_a_message=MAX_ROWS, bytes_a_reading=sizes / max(1, encode.count),
        snapshot=spread(snapshots), commit=spread(commits[1:]), state_bytes=size,
        folder=str(folder.parent), filesystem=kind, in_memory=kind in IN_MEMORY,
    )  # fmt: skip


def _encode(bundle: Bundle, stream: Stream, pipeline: Pipeline, count: int) -> tuple[Spread, float]:
    batch = Batch("talus/bench", "bench")
    times: list[float] = []
    size, skip = 0, warm_up(bundle.manifest)
    clock = time.perf_counter_ns
    for i, frame in enumerate(stream.frames(skip + count)):
        for reading in stream.driver.receive(frame, EPOCH_MS + i):
            assert isinstance(reading, Reading)
            outcome = pipeline.receive(reading)
            began = clock()
            batch.add(outcome)
            took = clock() - began
            if batch.full or i == skip + count - 1:
                held = batch.held
                began = clock()
                messages = batch.flush(pipeline.stations, EPOCH_MS + i)
                # Its share falls to each reading of it: what one costs does not hang on its place.
                share = (clock() - began) / held / 1000
                if i >= skip:
                    times[-held + 1 :] = [t + share for t in times[-held + 1 :]]
                    took += round(share * 1000)
                    size += sum(len(message.payload) for message in messages)
            if i >= skip:
                times.append(took / 1000)
    return spread(times), size


def filesystem(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        words = line.split()
        if len(words) > 2:
            at = words[1].encode().decode("unicode_escape")
            if folder.is_relative_to(at) and len(at) >= len(best):
                best, kind = at, words[2]
    return kind
