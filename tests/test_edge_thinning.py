"""Thinned telemetry: every tenth row, the extremes, exact accounts; the rest is left alone."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.message import ALARM, HEALTH, TELEMETRY, Message
from edge.outbox import Outbox, Stored
from edge.thinning import EVERY, thin

NONE_FLYING: frozenset[int] = frozenset()


def values_of(number: int, rows: list[list[Any]], station: str = "toe") -> dict[str, Any]:
    return {
        "format": 1,
        "id": f"{station}-{number}",
        "gateway": "g",
        "station": station,
        "level": 0,
        "no_data": False,
        "fields": ["time_ms", "sequence", "tilt", "crack"],
        "rows": rows,
        "score_fields": ["kind", "channel", "value", "threshold", "armed"],
        "forecast_fields": [],
        "steps": [],
    }


def message(values: dict[str, Any]) -> Message:
    topic = f"t/g/{values['station']}/telemetry"
    return Message(topic, json.dumps(values).encode(), TELEMETRY, rows=len(values["rows"]))


def stored(number: int, rows: list[list[Any]], **changed: Any) -> Stored:
    return Stored(number, message(values_of(number, rows) | changed))


_number = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
_rows = st.lists(st.lists(_number, min_size=2, max_size=2), min_size=1, max_size=9)


@given(st.lists(_rows, min_size=1, max_size=40))
def test_extremes_survive_rows_are_those_that_were_and_readings_balance(groups) -> None:
    time_ms, messages, every = 0, [], []
    for number, group in enumerate(groups):
        rows = [[time_ms + i, i, *row] for i, row in enumerate(group)]
        time_ms += len(rows)
        every += rows
        messages.append(stored(number + 1, rows))
    made = thin(messages)
    if not made:
        assert len(every) < 40  # it was not worth it
        return
    (one,) = made
    values = json.loads(one.payload)
    assert one.ids == tuple(range(1, len(groups) + 1))
    assert one.rows + one.gone == len(every)
    assert one.rows == len(values["rows"]) == -(-len(every) // EVERY)
    assert values["rows"] == every[::EVERY]
    told = values["thinned"]
    assert (told["every"], told["rows"]) == (EVERY, len(every))
    assert (told["from_ms"], told["to_ms"]) == (0, len(every) - 1)
    for i in (0, 1):
        column = [row[2 + i] for row in every if row[2 + i] is not None]
        assert told["min"][i] == min(column, default=None)
        assert told["max"][i] == max(column, default=None)


def rows_at(start: int, count: int) -> list[list[Any]]:
    return [[start + i, i, 0.5, 1.5] for i in range(count)]


def test_stations_and_messages_with_other_fields_are_kept_apart() -> None:
    one = [stored(n, rows_at(n, 5)) for n in range(10)]
    two = [stored(100 + n, rows_at(n, 5), station="head") for n in range(10)]
    other = [
        stored(200 + n, [[n, 0, 1.0]] * 9, fields=["time_ms", "sequence", "x"]) for n in range(9)
    ]
    made = thin([*one, *two, *other])
    assert [(m.ids[0], len(m.ids)) for m in made] == [(0, 10), (100, 10), (200, 9)]


def test_what_is_no_telemetry_or_is_thin_already_is_left_alone() -> None:
    (made,) = thin(stored(n, rows_at(n, 9)) for n in range(9))
    texts = [
        b"", b"\xff\x00", b"[]", b"{}", b"null", b"[" * 5000, made.payload,
        json.dumps(values_of(1, [])).encode(),
        json.dumps(values_of(1, rows_at(0, 200)) | {"rows": "x"}).encode(),
        json.dumps(values_of(1, [[1, 2, 3]] * 200)).encode(),
        json.dumps(values_of(1, [["now", 2, 3, 4]] * 200)).encode(),
        json.dumps(values_of(1, rows_at(0, 200)) | {"id": 7}).encode(),
    ]  # fmt: skip
    assert thin(Stored(n, Message("t/x", text, TELEMETRY)) for n, text in enumerate(texts)) == []


def test_of_the_steps_the_one_nearest_to_its_threshold_is_kept() -> None:
    steps = [
        {"time_ms": n, "scores": [["gru", "tilt", n % 70, 50.0, True]], "forecasts": []}
        for n in range(100)
    ]
    (made,) = thin([stored(1, rows_at(0, 100), steps=steps)])
    kept = [step["time_ms"] for step in json.loads(made.payload)["steps"]]
    assert kept == sorted({*range(0, 100, EVERY), 69})


def test_a_reading_shared_by_two_stations_is_counted_once() -> None:
    texts = [stored(n, rows_at(n, 9)).message.payload for n in range(9)]
    second = [
        Stored(n, Message("t/g/b/telemetry", text, TELEMETRY)) for n, text in enumerate(texts)
    ]
    (made,) = thin(second)
    assert (made.rows, made.gone) == (0, 0)


# ---- in the outbox ----


def fill(outbox: Outbox, clock: list[float], hours: float, rows: int = 1) -> list[float]:
    """Put a row a minute, so many in a message; returns the values of one channel."""
    dice = random.Random(8)
    put: list[float] = []
    for _ in range(round(hours * 60 / rows)):
        values = [round(dice.uniform(-9, 9), 5) for _ in range(rows)]
        number = round(clock[0])
        made = [[(number + 60 * i) * 1000, len(put) + i, v, 1.5] for i, v in enumerate(values)]
        put += values
        outbox.put([message(values_of(number, made))])
        clock[0] += 60.0 * rows
        outbox.settle()
    return put


def outbox_of(folder, max_bytes: int, clock: list[float]) -> Outbox:
    return Outbox(folder, max_bytes, 30, lambda: clock[0])


def test_an_outbox_that_fills_thins_the_old_keeps_the_new_whole_and_says_so(tmp_path) -> None:
    clock = [0.0]
    outbox = outbox_of(tmp_path, 260_000, clock)
    outbox.put([Message("t/g/toe/alarm", b"alarm", ALARM), Message("t/g/health", b"h", HEALTH)])
    put = fill(outbox, clock, 30.0)
    assert outbox.bytes <= 260_000
    assert set(outbox.lost) == {"thinned"}
    assert outbox.rows + outbox.lost["thinned"] == len(put)
    waiting = [s.message for s in outbox.waiting(10**6, NONE_FLYING, 10**9)]
    assert [m.payload for m in waiting[:2]] == [b"alarm", b"h"]
    texts = [json.loads(m.payload) for m in waiting[2:]]
    thinned = [text for text in texts if "thinned" in text]
    whole = [text["rows"][0][2] for text in texts if "thinned" not in text]
    assert whole == put[-len(whole) :]
    assert len(whole) >= 6 * 60  # the last six hours
    old = put[: -len(whole)]
    assert min(text["thinned"]["min"][0] for text in thinned) == min(old)
    assert max(text["thinned"]["max"][0] for text in thinned) == max(old)
    assert sum(text["thinned"]["rows"] for text in thinned) == len(old)
    ids = [text["id"] for text in texts]
    assert len(set(ids)) == len(ids)
    assert [text["rows"][0][0] for text in texts] == sorted(text["rows"][0][0] for text in texts)
    assert "thinned" in outbox.notes[0]
    assert len(outbox.notes) <= 30
    outbox.close()


def test_what_is_thinned_stays_so_over_a_restart_and_then_the_oldest_goes(tmp_path) -> None:
    clock = [0.0]
    outbox = outbox_of(tmp_path, 64_000, clock)
    put = fill(outbox, clock, 100.0, 20)
    lost = sum(outbox.lost.values())
    assert outbox.rows + lost == len(put)
    outbox.close()
    outbox = outbox_of(tmp_path, 64_000, clock)
    assert outbox.notes == []
    put += fill(outbox, clock, 600.0, 20)
    assert outbox.bytes <= 64_000
    assert set(outbox.lost) == {"thinned", "outbox_full"}
    assert outbox.rows + lost + sum(outbox.lost.values()) == len(put)
    outbox.close()


def test_below_the_mark_nothing_is_thinned(tmp_path) -> None:
    clock = [0.0]
    outbox = outbox_of(tmp_path, 10**8, clock)
    put = fill(outbox, clock, 30.0)
    assert (outbox.rows, outbox.lost, outbox.notes) == (len(put), {}, [])
    outbox.close()


def test_what_is_on_the_air_is_not_thinned(tmp_path) -> None:
    clock = [0.0]
    outbox = outbox_of(tmp_path, 150_000, clock)
    fill(outbox, clock, 5.0)
    out = frozenset(s.id for s in outbox.waiting(64, NONE_FLYING, 10**9))
    outbox.waiting(0, out, 10**9)
    fill(outbox, clock, 20.0)
    assert outbox.lost["thinned"] > 0
    assert outbox.done(out) == 64
    outbox.close()
