"""A span of the capture published again: which rows, how fast, and what stands before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from remote_parts import Side

import edge.backfill
from edge.message import ALARM, TELEMETRY, Message
from firmware_bridge.capture import CaptureWriter

START_MS = 1_700_000_000_000
ROWS = 1000
LINES = """protocol = "lines"
[port.lines]
delimiter = ","
column_count = 3
time_column = 0
time_format = "epoch_ms"
columns = { crack = 1, rain = 2 }
"""


@pytest.fixture
def side(tmp_path: Path) -> Side:
    first = Side(tmp_path, capture="raw.capture")
    path = tmp_path / "gateway.toml"
    path.write_text(path.read_text().replace('protocol = "tw1"\n', LINES))
    with CaptureWriter(first.config.data_dir / "raw.capture") as capture:
        for i in range(ROWS):
            at_ms = START_MS + 1000 * i
            capture.write(at_ms, "node", f"{at_ms},{i / 10},0.5\n".encode())
    return first.again()


def replayed(side: Side) -> list[list[float]]:
    found = [values for topic, values in side.published() if topic == "talus/bluff/slope/telemetry"]
    assert all(values["replayed"] is True for values in found)
    assert len({values["id"] for values in found}) == len(found)
    return [row for values in found for row in values["rows"]]


def fill(side: Side, first: int, last: int) -> dict:
    return side.say(what="backfill", from_ms=START_MS + 1000 * first, to_ms=START_MS + 1000 * last)


def ended(side: Side) -> bool:
    return any("rows published again" in reply["text"] for reply in side.replies())


def test_the_rows_of_the_span_and_no_others_are_published_once(side: Side) -> None:
    reply = fill(side, 100, 249)
    assert (reply["text"], reply["more"]) == ("begun", True)
    side.until(lambda: ended(side))
    last = side.replies()[-1]
    assert (last["id"], last["text"]) == (reply["id"], "150 rows published again in 3 messages")
    rows = replayed(side)
    assert [row[0] for row in rows] == [START_MS + 1000 * i for i in range(100, 250)]
    assert rows[0][2:] == [10.0, 0.5]
    assert side.outbox.rows == 0, "readings are counted once, when they come in"


def test_a_backfill_waits_behind_what_waits_and_one_runs_at_a_time(side: Side) -> None:
    others = [
        Message(f"talus/bluff/x{i}", b"{}", TELEMETRY) for i in range(edge.backfill.MAX_WAITING)
    ]
    side.outbox.put(others)
    assert fill(side, 0, ROWS)["text"] == "begun"
    for _ in range(20):
        side.ahead_ms += 1000
        side.remote.look(side.now_ms())
    assert replayed(side) == []
    assert fill(side, 0, 10)["text"].endswith("is still at work")
    side.outbox.done([s.id for s in side.outbox.waiting(10_000, frozenset(), 10**9)])
    side.until(lambda: len(replayed(side)) > 0)
    side.outbox.put([Message("talus/bluff/slope/alarm", b"{}", ALARM)])
    first = side.outbox.waiting(1, frozenset(), 10**9)[0].message
    assert first.priority == ALARM
    most = edge.backfill.AT_ONCE + edge.backfill.MAX_WAITING
    for _ in range(200):  # nobody takes what waits: it goes no further than its bound
        side.ahead_ms += edge.backfill.EVERY_MS
        side.remote.look(side.now_ms())
        assert side.outbox.messages <= most


def test_a_capture_that_is_damaged_gives_what_is_before_and_says_so(side: Side) -> None:
    path = side.config.data_dir / "raw.capture"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\nrubbish here\n" + data[len(data) // 2 :])
    fill(side, 0, ROWS)
    side.until(lambda: ended(side))
    text = side.replies()[-1]["text"]
    assert "the capture ends early" in text
    assert 400 < len(replayed(side)) < 600


def test_the_line_that_is_being_written_is_no_damage(side: Side) -> None:
    path = side.config.data_dir / "raw.capture"
    os.truncate(path, path.stat().st_size - 5)
    fill(side, 0, ROWS)
    side.until(lambda: ended(side))
    assert side.replies()[-1]["text"] == f"{ROWS - 1} rows published again in 20 messages"


def test_without_a_capture_there_is_nothing_to_publish_again(tmp_path: Path) -> None:
    side = Side(tmp_path)
    assert "keeps no capture" in fill(side, 0, 1)["text"]
