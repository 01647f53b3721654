"""What is in memory for a moment, what it spares the disk, and what is written in all."""

from __future__ import annotations

import os

import pytest
import tiny_bundle
from outbox_parts import (
    PLENTY,
    Clock,
    alarm,
    on_disk,
    telemetry,
    texts,
    waiting,
)

from edge.config import load_config
from edge.disk_use import DiskUse, written_bytes
from edge.intake import POLL_MS
from edge.outbox import Outbox
from edge.outbox_held import AWAY_GATHER_MS, AWAY_HOLD_MS, HOLD_MS


def test_telemetry_goes_to_disk_only_if_it_is_not_acknowledged_in_time(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    commits = outbox.disk.commits
    for n in range(100):  # acknowledged at once
        outbox.put([telemetry(f"t{n}")])
        clock.now_s += 0.29
        outbox.settle()
        assert outbox.done([stored.id for stored in waiting(outbox)]) == 1
    assert (outbox.disk.commits, on_disk(outbox)) == (commits, [])
    for n in range(20):  # and not
        outbox.put([telemetry(f"u{n}")])
        clock.now_s += 0.1
        outbox.settle()
        assert len(outbox.notes) == 0
        assert len(on_disk(outbox)) >= n - 3  # what is put within HOLD_MS is at risk
    assert outbox.disk.commits - commits <= 7
    outbox.close()


def test_an_alarm_is_on_disk_at_once_and_takes_no_telemetry_along(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY, clock=Clock())
    outbox.put([telemetry("t")])
    outbox.put([telemetry("u"), alarm("a")])
    assert on_disk(outbox) == ["a"]
    assert texts(outbox) == ["a", "t", "u"]
    outbox.close()


def test_a_message_on_the_air_is_done_with_though_it_went_to_disk_meanwhile(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    outbox.put([telemetry("t", rows=3)])
    (stored,) = waiting(outbox)
    clock.now_s += 1.0
    outbox.settle()
    assert on_disk(outbox) == ["t"]
    assert outbox.waiting(9, frozenset({stored.id}), PLENTY) == []
    assert outbox.done([stored.id]) == 3
    assert (outbox.rows, on_disk(outbox)) == (0, [])
    outbox.close()


def test_a_flood_is_written_in_few_transactions(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    for n in range(5000):  # for five seconds
        outbox.put([telemetry(f"{n:04d}")])
        clock.now_s += 0.001
        outbox.settle()
    outbox.flush()
    assert outbox.disk.commits <= 20
    assert texts(outbox) == [f"{n:04d}" for n in range(5000)]
    outbox.close()


def test_an_unchanged_state_is_not_written_again(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([], {"pipeline": b"s" * 9000})
    commits, stored = outbox.disk.commits, outbox.disk.stored_bytes
    outbox.put([], {"pipeline": b"s" * 9000})
    assert (outbox.disk.commits, outbox.disk.stored_bytes) == (commits, stored)
    assert stored < 1000  # compressed
    outbox.put([], {"pipeline": b"t" * 9000})
    assert outbox.load_state("pipeline") == b"t" * 9000
    outbox.close()


# ---- the disk counted ----


def test_the_estimate_for_a_day_follows_the_last_day() -> None:
    clock, total = Clock(), [1000]
    use = DiskUse(clock, lambda: total[0])
    for _ in range(3 * 1440):
        clock.now_s += 60
        total[0] += 100
        found = use.values()
    assert found["written_bytes"] == 3 * 144_000
    assert found["written_bytes_per_day"] == 144_000
    for _ in range(2 * 1440):
        clock.now_s += 60
        total[0] += 5
        found = use.values()
    assert found["written_bytes_per_day"] == 7200


def test_what_the_kernel_counts_is_what_is_written(tmp_path) -> None:
    before = written_bytes()
    if before is None:
        pytest.skip("NOT TESTED: this kernel does not count what a process writes")
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(bytes(1_000_000))
        os.fsync(file.fileno())
    assert before + 1_000_000 <= written_bytes() <= before + 1_300_000


def test_a_kill_takes_no_more_than_a_second_of_rows(tmp_path) -> None:
    """Rows gathered, then held, and the loop may come a turn late to either."""
    tiny_bundle.gateway_toml(tmp_path, "allow_unsigned = true")
    every_ms = load_config(tmp_path / "gateway.toml").telemetry_every_ms
    assert every_ms + HOLD_MS + 2 * POLL_MS <= 1000
    assert max(every_ms, AWAY_GATHER_MS) + AWAY_HOLD_MS + 2 * POLL_MS <= 1000


def test_without_a_connection_little_is_waited_for(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, clock=clock)
    outbox.put([telemetry("t")])
    clock.now_s += AWAY_HOLD_MS / 1000
    outbox.settle()
    assert on_disk(outbox) == []
    outbox.settle(AWAY_HOLD_MS)
    assert on_disk(outbox) == ["t"]
    outbox.close()
