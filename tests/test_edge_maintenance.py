"""A port in maintenance: its silence is expected, nothing else is, and no level falls."""

from __future__ import annotations

import json
import selectors
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import Config, load_config
from edge.intake import Intake, open_free
from edge.maintenance import TELL_MS, Maintenance
from edge.message import alarm_messages
from edge.pipeline import Pipeline
from edge.replay import recorded, replay
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.capture import CaptureWriter, Maintained, read_capture
from firmware_bridge.reading import Reading
from firmware_bridge.sim_pty import Pty
from firmware_bridge.update_notes import (
    CLOCK_STEP_MS,
    MAX_MAINTENANCE_MIN,
    begin_maintenance,
    end_maintenance,
    in_maintenance,
    raised_alarm,
)

BUNDLE = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
START_MS = 1_704_067_200_000
STEP_MS = 600_000
LIMIT_MS = 7_200_000
SLOPE = generate(9.9, seed=7, failure_day=10.0)
ROWS = list(zip(SLOPE.time_ms.tolist(), SLOPE.values.tolist(), strict=True))
TILTS = ("tilt_x", "tilt_y")
OTHERS = tuple(name for name in CHANNELS if name not in TILTS)
NOW_MS = 1_750_000_000_000


def config() -> Config:
    return load_config(demo_bundle().parent / "gateway.toml")


def on_two_ports() -> Config:
    one = config()
    station = one.stations[0]
    channels = tuple(
        replace(channel, port="tilts") if channel.name in TILTS else channel
        for channel in station.channels
    )
    ports = (one.ports[0], replace(one.ports[0], name="tilts"))
    return replace(one, ports=ports, stations=(replace(station, channels=channels),))


def fresh(of: Config) -> Pipeline:
    return Pipeline(of, {station.name: BUNDLE for station in of.stations})


def reading(i: int, source: str = "node", columns: tuple[str, ...] = CHANNELS) -> Reading:
    time_ms, row = ROWS[i]
    values = tuple(row[CHANNELS.index(name)] for name in columns)
    return Reading(source, time_ms, i, columns, values, START_MS + i * STEP_MS)


def at(i: float) -> int:
    return START_MS + round(i * STEP_MS)


def test_planned_silence_is_no_alarm_but_its_begin_and_end_are() -> None:
    pipeline = fresh(config())
    for i in range(200):
        pipeline.receive(reading(i))
    begun = pipeline.maintain("node", begun=True, now_ms=at(200))
    assert [(c.no_data, c.maintenance) for c in begun] == [(False, CHANNELS)]
    assert "maintenance of port node: meanwhile nobody watches crack_1" in begun[0].reason
    assert pipeline.tick(at(900)) == []  # days
    ended = pipeline.maintain("node", begun=False, now_ms=at(900))
    assert [(c.no_data, c.maintenance, c.silent) for c in ended] == [(False, (), ())]
    assert pipeline.tick(at(900) + LIMIT_MS) == []
    late = pipeline.tick(at(900) + LIMIT_MS + 1)  # it never came back
    assert [c.no_data for c in late] == [True]
    assert "score velocity" in late[0].silent


def test_the_quality_stands_in_event_and_state() -> None:
    pipeline = fresh(config())
    pipeline.receive(reading(0))
    change = pipeline.maintain("node", begun=True, now_ms=at(1))[0]
    for message in alarm_messages(change, "talus/g", "g"):
        assert json.loads(message.payload)["quality"] == dict.fromkeys(CHANNELS, "maintenance")
    change = pipeline.maintain("node", begun=False, now_ms=at(2))[0]
    for message in alarm_messages(change, "talus/g", "g"):
        assert json.loads(message.payload)["quality"] == {}


def test_what_was_silent_before_stays_silent_and_what_is_on_another_port_is_expected() -> None:
    pipeline = fresh(on_two_ports())
    for i in range(200):
        pipeline.receive(reading(i, columns=OTHERS))
        pipeline.receive(reading(i, "tilts", TILTS))
    begun = pipeline.maintain("tilts", begun=True, now_ms=at(200))
    assert begun[0].maintenance == TILTS
    found = pipeline.tick(at(300))  # the other port falls silent, and nobody planned that
    assert [set(c.silent) for c in found] == [
        set(pipeline.stations["slope"].watch.channels) - set(TILTS)
    ]
    ended = pipeline.maintain("tilts", begun=False, now_ms=at(301))
    assert ended[0].silent == found[0].silent
    assert [c.no_data for c in pipeline.tick(at(400))] == [True]


def test_a_level_is_held_over_maintenance_and_never_falls_in_it() -> None:
    pipeline = fresh(config())
    alarm = pipeline.stations["slope"].alarm
    i = 0
    while alarm.level < 2:
        pipeline.receive(reading(i))
        i += 1
    level = alarm.level
    changes = pipeline.maintain("node", begun=True, now_ms=at(i))
    changes += pipeline.tick(at(i + 5000))
    changes += pipeline.maintain("node", begun=False, now_ms=at(i + 5000))
    changes += pipeline.tick(at(i + 9000))
    assert {(c.level, c.previous_level) for c in changes} == {(level, level)}
    assert len(changes) == 3


@settings(max_examples=25, deadline=None)
@given(
    st.integers(50, 300), st.integers(0, 60), st.integers(0, 60),
    st.lists(st.integers(0, 120), max_size=12), st.booleans(),
)  # fmt: skip
def test_how_often_one_looks_and_a_restart_change_nothing(
    first: int, gap: int, tail: int, looks: list[int], restart: bool
) -> None:
    end, last = first + gap, first + gap + tail

    def course(pipeline: Pipeline, looks: list[int]) -> list:
        found = []
        for i in range(first):
            found += pipeline.receive(reading(i)).changes
        found += pipeline.maintain("node", begun=True, now_ms=at(first))
        for look in sorted(look for look in looks if first + look <= end):
            found += pipeline.tick(at(first + look))
        if restart and looks:
            state = json.loads(json.dumps(pipeline.snapshot()))
            since = pipeline._now_ms
            pipeline = fresh(config())
            assert pipeline.restore(state, since) == []
            assert pipeline.maintained == {"node"}
        found += pipeline.maintain("node", begun=False, now_ms=at(end))
        for look in sorted(look for look in looks if end <= first + look <= last):
            found += pipeline.tick(at(first + look))
        return found + pipeline.tick(at(last))

    assert course(fresh(config()), looks) == course(fresh(config()), [])


def test_a_state_that_says_nothing_of_maintenance_is_taken() -> None:
    pipeline = fresh(config())
    for i in range(150):
        pipeline.receive(reading(i))
    state = json.loads(json.dumps(pipeline.snapshot()))
    del state["maintained"]
    del state["stations"]["slope"]["silence"]["excused_ms"]
    again = fresh(config())
    assert again.restore(state, at(150)) == []
    assert again.maintained == set()
    assert again.stations["slope"].alarm.level == pipeline.stations["slope"].alarm.level


def test_it_is_recorded_and_replayed_at_its_time(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c") as capture:
        capture.maintained(START_MS, "node", begun=True)
        capture.maintained(START_MS + 5, "node", begun=False)
    assert list(read_capture(tmp_path / "c")) == [
        Maintained(START_MS, "node", begun=True),
        Maintained(START_MS + 5, "node", begun=False),
    ]
    of = config()
    found = list(replay(of, {"slope": BUNDLE}, recorded(of, [str(tmp_path / "c")])))
    assert [o.changes[-1].maintenance for _, o in found] == [CHANNELS, ()]


# The notes


def test_a_note_begins_once_and_ends_once(tmp_path: Path) -> None:
    notes = Maintenance(tmp_path, {"node"})
    assert notes.look(NOW_MS, set()) == []
    begin_maintenance(tmp_path, "node", NOW_MS + 600, 10)
    begin_maintenance(tmp_path, "elsewhere", NOW_MS + 600, 10)
    assert notes.look(NOW_MS + 100, set()) == []  # not looked at again so soon
    assert notes.look(NOW_MS + 700, set()) == [("node", True)]
    assert notes.look(NOW_MS + 1400, {"node"}) == []
    end_maintenance(tmp_path, "node")
    assert notes.look(NOW_MS + 2100, {"node"}) == [("node", False)]


@pytest.mark.parametrize("minutes", [1, 30, MAX_MAINTENANCE_MIN])
def test_a_note_that_nobody_takes_away_expires(tmp_path: Path, minutes: int) -> None:
    begin_maintenance(tmp_path, "node", NOW_MS, minutes)
    end_ms = NOW_MS + minutes * 60_000
    assert in_maintenance(tmp_path, end_ms - 1) == {"node"}
    assert in_maintenance(tmp_path, end_ms) == set()
    assert in_maintenance(tmp_path, NOW_MS - CLOCK_STEP_MS - 1) == set()


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["port", "since_ms", "deadline_ms", "raised", "at_ms"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_note_makes_it_raise(tmp_path_factory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "maintenance-node.json").write_bytes(data)
    (folder / "alarms.json").write_bytes(data)
    in_maintenance(folder, NOW_MS)
    assert raised_alarm(folder, NOW_MS).startswith("not known")


def test_no_note_silences_a_port_for_ever(tmp_path: Path) -> None:
    note = {"port": "node", "since_ms": NOW_MS, "deadline_ms": NOW_MS + 10**12}
    (tmp_path / "maintenance-node.json").write_text(json.dumps(note))
    assert in_maintenance(tmp_path, NOW_MS) == {"node"}
    assert in_maintenance(tmp_path, NOW_MS + MAX_MAINTENANCE_MIN * 60_000) == set()
    (tmp_path / "maintenance-other.json").write_text(json.dumps(note))  # under another's name
    assert in_maintenance(tmp_path, NOW_MS) == {"node"}


def test_raised_alarms_are_told_at_once_and_again_before_they_are_too_old(tmp_path: Path) -> None:
    notes = Maintenance(tmp_path, {"node"})
    pipeline = fresh(config())
    alarm = pipeline.stations["slope"].alarm
    assert "is the gateway running" in raised_alarm(tmp_path, NOW_MS)
    notes.tell(pipeline.stations, NOW_MS)
    assert raised_alarm(tmp_path, NOW_MS) == ""
    alarm.level = 3
    notes.tell(pipeline.stations, NOW_MS + 1)
    assert raised_alarm(tmp_path, NOW_MS + 1) == "slope (level 3)"
    for minutes in range(20):
        notes.tell(pipeline.stations, NOW_MS + minutes * TELL_MS)
        assert raised_alarm(tmp_path, NOW_MS + minutes * TELL_MS + 30_000) == "slope (level 3)"
    assert "is the gateway running" in raised_alarm(tmp_path, NOW_MS + 10**7)


def test_a_port_in_maintenance_is_not_opened_before_the_loop_either(tmp_path: Path) -> None:
    line, port = Pty(), replace(config().ports[0], device="")
    begin_maintenance(tmp_path, "held", int(time.time() * 1000))
    with selectors.DefaultSelector() as selector:
        held, free = (
            Intake(replace(port, name=name, device=line.path), selector)
            for name in ("held", "free")
        )
        assert open_free([held, free], tmp_path) == [f"port free ({line.path}): opened"]
        assert (held.port.is_open, free.port.is_open) == (False, True)
        free.close()
    line.close()
