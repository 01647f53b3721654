"""The outbox: order, replacement, bounds, counters."""

from __future__ import annotations

import random
import stat

import pytest
from outbox_parts import (
    NONE_FLYING,
    PLENTY,
    Clock,
    alarm,
    noise,
    retained,
    telemetry,
    texts,
    waiting,
)

from edge.message import ALARM, HEALTH, TELEMETRY, Message
from edge.outbox import Outbox


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "data", PLENTY)
    yield opened
    opened.close()


def test_alarms_leave_before_health_before_telemetry_then_the_oldest(outbox) -> None:
    health = Message("talus/g/health", b"h", HEALTH, retain=True)
    assert outbox.put([telemetry("t1"), health, telemetry("t2"), alarm("a1")])
    assert outbox.put([alarm("a2"), telemetry("t3")])
    assert texts(outbox) == ["a1", "a2", "h", "t1", "t2", "t3"]


def test_what_comes_out_is_what_was_put_in(outbox) -> None:
    put = [retained("r"), Message("ü/größe", bytes(range(256)), TELEMETRY, rows=7)]
    assert outbox.put(put)
    assert [stored.message for stored in waiting(outbox)] == put


def test_waiting_keeps_to_its_limits_and_leaves_out_what_is_on_the_air(outbox) -> None:
    outbox.put([telemetry("x" * 100) for _ in range(10)])
    first = waiting(outbox, 3)
    assert len(first) == 3
    flying = frozenset(stored.id for stored in first)
    rest = outbox.waiting(100, flying, PLENTY)
    assert len(rest) == 7
    assert not flying & {stored.id for stored in rest}
    assert len(outbox.waiting(100, NONE_FLYING, 250)) == 3  # the third passes the bound
    assert outbox.waiting(100, NONE_FLYING, 0) == []


def test_a_retained_message_takes_the_place_of_the_one_that_waits_under_its_topic(outbox) -> None:
    outbox.put([retained("old"), retained("other", "talus/g/toe/state"), alarm("event")])
    outbox.put([retained("new")])
    assert texts(outbox) == ["other", "event", "new"]
    assert (outbox.messages, outbox.bytes) == (3, len("othereventnew"))


def test_a_message_that_is_not_retained_never_takes_the_place_of_another(outbox) -> None:
    outbox.put([retained("kept", "t"), Message("t", b"a", ALARM), Message("t", b"a", ALARM)])
    assert texts(outbox) == ["kept", "a", "a"]


def test_two_messages_with_the_same_content_are_two_messages(outbox) -> None:
    outbox.put([telemetry("same", rows=2)])
    outbox.put([telemetry("same", rows=2)])
    one, two = waiting(outbox)
    assert one.id != two.id
    assert one.message == two.message
    assert outbox.done([one.id]) == 2
    assert [stored.id for stored in waiting(outbox)] == [two.id]


def test_done_deletes_and_counts_readings_once(outbox) -> None:
    outbox.put([telemetry("a", rows=3), telemetry("b", rows=4), alarm("c")])
    ids = [stored.id for stored in waiting(outbox)]
    assert outbox.done(ids[:2]) == 3
    assert outbox.done(ids) == 4  # those gone already count no more
    assert outbox.done(ids) == 0
    assert outbox.done([]) == 0
    assert (outbox.messages, outbox.bytes, outbox.rows) == (0, 0, 0)


def test_an_id_is_never_used_again(tmp_path) -> None:
    seen: set[int] = set()
    for _ in range(3):
        outbox = Outbox(tmp_path, PLENTY)
        outbox.put([telemetry("x")])
        (stored,) = waiting(outbox)
        assert stored.id not in seen
        seen.add(stored.id)
        outbox.done([stored.id])
        outbox.close()


def test_a_huge_payload_gets_through_whole(outbox) -> None:
    payload = random.Random(1).randbytes(20_000_000)
    assert outbox.put([Message("t", payload, TELEMETRY, rows=1)])
    (stored,) = outbox.waiting(5, NONE_FLYING, 1)  # larger than what may be on the air: alone
    assert stored.message.payload == payload
    assert outbox.bytes == len(payload)


def test_the_oldest_telemetry_is_given_up_when_the_bound_is_reached(tmp_path) -> None:
    outbox = Outbox(tmp_path, 100_000)
    for n in range(300):
        assert outbox.put([telemetry(f"{n:04d}" + noise(n), rows=2)])
        assert outbox.bytes <= 100_000
    kept = [int(text[:4]) for text in texts(outbox)]
    assert kept == list(range(300 - len(kept), 300))
    assert len(kept) > 30
    assert outbox.lost == {"outbox_full": 2 * (300 - len(kept))}
    assert outbox.dropped_messages == 300 - len(kept)
    outbox.close()


def test_alarms_are_never_given_up_for_the_bound(tmp_path) -> None:
    outbox = Outbox(tmp_path, 10_000)
    for n in range(50):
        outbox.put([telemetry(noise(n), rows=1)])
        outbox.put([alarm(f"{n:04d}" + "x" * 900)])
    alarms = [s.message for s in waiting(outbox) if s.message.priority == ALARM]
    assert [int(m.payload[:4]) for m in alarms] == list(range(50))
    assert outbox.lost["outbox_full"] + outbox.rows == 50
    assert outbox.messages == len(alarms) + outbox.rows
    outbox.close()


def test_a_state_is_loaded_as_it_was_stored_and_the_last_one_counts(outbox) -> None:
    assert outbox.load_state("pipeline") is None
    outbox.put([], {"pipeline": b"one"})
    outbox.put([alarm("a")], {"pipeline": b"two \0", "other": b""})
    assert (outbox.load_state("pipeline"), outbox.load_state("other")) == (b"two \0", b"")


def test_a_restart_keeps_messages_state_and_counters(tmp_path) -> None:
    outbox = Outbox(tmp_path, PLENTY)
    outbox.put([telemetry("t", rows=9), retained("r"), alarm("a")], {"pipeline": b"s"})
    before = waiting(outbox), outbox.bytes, outbox.rows, outbox.messages
    outbox.close()
    again = Outbox(tmp_path, PLENTY)
    assert (waiting(again), again.bytes, again.rows, again.messages) == before
    assert again.load_state("pipeline") == b"s"
    assert again.notes == []
    again.close()


def test_nobody_else_can_read_the_files(tmp_path) -> None:
    outbox = Outbox(tmp_path / "deep" / "data", PLENTY)
    outbox.put([alarm("a")])
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in outbox.path.parent.iterdir()}
    assert {modes[name] for name in modes if name.startswith("outbox.db")} == {0o600}
    assert "outbox.db-wal" in modes
    assert stat.S_IMODE(outbox.path.parent.stat().st_mode) == 0o700
    outbox.close()


def test_the_same_note_in_a_row_is_kept_once_and_notes_are_bounded(outbox) -> None:
    for n in range(100):
        outbox.note(f"{n // 2}")
    assert outbox.notes == [f"{n}" for n in range(30, 50)]


# ---- the bound in days ----


def test_telemetry_older_than_the_bound_in_days_of_running_goes_and_alarms_stay(tmp_path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, PLENTY, 2, clock)
    outbox.put([telemetry("old", rows=4), alarm("old")])
    clock.now_s += 86_400 * 1.9
    outbox.settle()
    outbox.put([telemetry("young", rows=1)])
    outbox.close()
    clock.now_s += 86_400 * 50  # without power: it does not count
    outbox = Outbox(tmp_path, PLENTY, 2, clock)
    outbox.settle()
    assert texts(outbox) == ["old", "old", "young"]
    clock.now_s += 86_400 * 0.2
    outbox.settle()
    assert [(s.message.priority, s.message.payload) for s in waiting(outbox)] == [
        (ALARM, b"old"),
        (TELEMETRY, b"young"),
    ]
    assert outbox.lost == {"outbox_old": 4}
    assert "outbox_max_days" in outbox.notes[0]
    outbox.close()


def test_what_is_on_the_air_is_not_given_up(tmp_path) -> None:
    outbox = Outbox(tmp_path, 20_000)
    for n in range(10):
        outbox.put([telemetry(noise(n))])
    first = outbox.waiting(5, NONE_FLYING, PLENTY)
    for n in range(10, 300):
        outbox.put([telemetry(noise(n))])
    assert outbox.lost["outbox_full"] > 200
    assert outbox.done([stored.id for stored in first]) == 5
    outbox.close()
