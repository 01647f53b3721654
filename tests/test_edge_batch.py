"""Telemetry and messages: strict JSON, readings counted once, nothing left after a flush."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarm import AlarmChange
from edge.batch import MAX_ROWS, Batch
from edge.config import load_config
from edge.grid import Observation
from edge.message import ALARM, TELEMETRY, alarm_messages, number, to_json
from edge.pipeline import Outcome, Pipeline, Row
from edge.score import Forecast, Forecasts, Score
from edge.watch import Scored
from firmware_bridge.reading import Reading

T0_MS = 1_700_000_000_000
NAN, INF = math.nan, math.inf

TOML = """
[gateway]
name = "bluff"
[mqtt]
host = "localhost"
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "hilltop"
bundle = "none"
[[station.channel]]
name = "air"
port = "node"
unit = "kPa"
quantity = "barometric_pressure"
[[station]]
name = "slope"
bundle = "none"
[[station.channel]]
name = "crack"
port = "node"
unit = "mm"
quantity = "crack_width"
high = 100
[[station.channel]]
name = "tilt"
port = "node"
unit = "mrad"
quantity = "tilt"
"""


def strict(payload: bytes) -> dict:
    """Parse as a receiver does that knows no NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(payload, parse_constant=refuse)


@pytest.fixture
def pipeline(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(TOML, encoding="utf-8")
    config = load_config(path)
    return Pipeline(config, {"hilltop": "no bundle", "slope": "no bundle"})


def reading(n: int, *values: float) -> Reading:
    time_ms = T0_MS + 1000 * n
    return Reading("node", time_ms, n, ("air", "crack", "tilt"), values, time_ms + 5)


def test_a_reading_two_stations_take_is_counted_once_and_gives_a_row_each(pipeline) -> None:
    batch = Batch("talus/bluff", "bluff")
    for n in range(3):
        outcome = pipeline.receive(reading(n, 101.3, 1.5 + n, 0.25))
        assert outcome.reason == ""
        batch.add(outcome)
    assert batch.held == 3
    messages = batch.flush(pipeline.stations, T0_MS)
    assert [m.topic for m in messages] == [
        "talus/bluff/hilltop/telemetry",
        "talus/bluff/slope/telemetry",
    ]
    assert sum(m.rows for m in messages) == 3
    hilltop, slope = (strict(m.payload) for m in messages)
    assert hilltop["fields"] == ["time_ms", "sequence", "air"]
    assert slope["fields"] == ["time_ms", "sequence", "crack", "tilt"]
    assert hilltop["rows"] == [[T0_MS + 1000 * n, n, 101.3] for n in range(3)]
    assert slope["rows"] == [[T0_MS + 1000 * n, n, 1.5 + n, 0.25] for n in range(3)]
    assert {m.priority for m in messages} == {TELEMETRY}
    assert not any(m.retain for m in messages)


def test_what_is_missing_or_out_of_range_is_null_and_never_nan(pipeline) -> None:
    batch = Batch("talus/bluff", "bluff")
    batch.add(pipeline.receive(reading(0, NAN, 200.0, INF)))
    batch.add(pipeline.receive(reading(1, -INF, NAN, -0.0)))
    messages = batch.flush(pipeline.stations, T0_MS)
    for message in messages:
        assert b"NaN" not in message.payload
        assert b"Infinity" not in message.payload
    hilltop, slope = (strict(m.payload)["rows"] for m in messages)
    assert [row[2:] for row in hilltop] == [[None], [None]]
    assert [row[2:] for row in slope] == [[None, None], [None, 0.0]]


def test_a_flush_empties_and_the_next_begins_anew(pipeline) -> None:
    batch = Batch("talus/bluff", "bluff")
    assert batch.flush(pipeline.stations, T0_MS) == []
    batch.add(pipeline.receive(reading(0, 1.0, 2.0, 3.0)))
    assert len(batch.flush(pipeline.stations, T0_MS)) == 2
    assert batch.held == 0
    assert batch.flush(pipeline.stations, T0_MS) == []
    batch.add(pipeline.receive(reading(1, 1.0, 2.0, 3.0)))
    again = batch.flush(pipeline.stations, T0_MS)
    assert sum(m.rows for m in again) == 1
    assert [len(strict(m.payload)["rows"]) for m in again] == [1, 1]


def test_ids_differ_even_within_a_millisecond(pipeline) -> None:
    batch = Batch("talus/bluff", "bluff")
    ids = []
    for n in range(50):
        batch.add(pipeline.receive(reading(n, 1.0, 2.0, 3.0)))
        ids += [strict(m.payload)["id"] for m in batch.flush(pipeline.stations, T0_MS)]
    assert len(set(ids)) == len(ids) == 100


def test_a_batch_is_full_at_its_bound_and_not_before(pipeline) -> None:
    batch = Batch("talus/bluff", "bluff")
    for n in range(MAX_ROWS):
        assert not batch.full
        batch.add(pipeline.receive(reading(n, 1.0, 2.0, 3.0)))
    assert batch.full
    batch.flush(pipeline.stations, T0_MS)
    assert not batch.full


def test_scores_and_forecasts_ride_along_in_the_order_of_their_fields(pipeline) -> None:
    batch = Batch("talus/bluff", "bluff")
    forecasts = Forecasts(
        (("crack", 60_000), ("tilt", 60_000)), (0.1, 0.5, 0.9), ([3.0, 1.0, 2.0], [NAN, 0.0, 1.0])
    )
    scored = Scored(
        Observation("slope", T0_MS, (1.0, 2.0), False),
        (
            Score("velocity", "crack", 1.23456789, 2.0, "mm", True),
            Score("residual", "tilt", NAN, 3.0, "", False),
        ),
        forecasts,
    )
    silent = Scored(Observation("slope", T0_MS + 1000, (1.0, 2.0), False), (), Forecasts())
    row = Row("slope", T0_MS, 7, [1.0, 2.0])
    batch.add(Outcome("", (row,), (scored, silent), ()))
    (message,) = batch.flush(pipeline.stations, T0_MS)
    values = strict(message.payload)
    assert values["score_fields"] == ["kind", "channel", "value", "threshold", "armed"]
    assert values["forecast_fields"] == [["crack", 60_000], ["tilt", 60_000]]
    (step,) = values["steps"]  # a step without scores is not worth its bytes
    assert step["time_ms"] == T0_MS
    assert step["scores"] == [
        ["velocity", "crack", 1.234568, 2.0, True],
        ["residual", "tilt", None, 3.0, False],
    ]
    assert step["forecasts"][0] == [1.0, 2.0, 3.0]
    assert None in step["forecasts"][1]


@given(st.floats())
def test_a_number_is_json_near_the_value_or_null(value) -> None:
    found = strict(to_json({"v": number(value)}))["v"]
    if math.isfinite(value):
        assert found == pytest.approx(value, rel=1e-6, abs=1e-307)
    else:
        assert found is None


def test_a_value_that_is_no_json_is_an_error_and_not_a_word_no_receiver_knows() -> None:
    for value in (NAN, INF, -INF):
        with pytest.raises(ValueError, match="JSON"):
            to_json({"v": value})


@given(value=st.floats(), threshold=st.floats(min_value=1e-6, max_value=1e6))
def test_an_alarm_is_an_event_and_a_retained_state_of_one_id(value, threshold) -> None:
    evidence = (Score("velocity", "crack", value, threshold, "mm", True),)
    change = AlarmChange("slope-1-2", "slope", T0_MS, T0_MS + 5, 3, 1, False, ("tilt",), "why",
                         evidence, "b v1", forecasts=(
                             Forecast("crack", 60_000, (0.1, 0.9), (value, NAN)),))  # fmt: skip
    event, stands = alarm_messages(change, "talus/bluff", "bluff")
    assert (event.topic, event.retain) == ("talus/bluff/slope/alarm", False)
    assert (stands.topic, stands.retain) == ("talus/bluff/slope/state", True)
    assert {event.priority, stands.priority} == {ALARM}
    assert event.rows == stands.rows == 0
    told, state = strict(event.payload), strict(stands.payload)
    assert told["id"] == state["id"] == "slope-1-2"
    assert (told["level"], told["level_name"], told["previous_level"]) == (3, "warning", 1)
    assert told["evidence"][0]["value"] == number(value)
    assert told["forecasts"][0]["values"] == [number(value), None]
    assert (state["level"], state["silent"], state["no_data"]) == (3, ["tilt"], False)
    assert "evidence" not in state
