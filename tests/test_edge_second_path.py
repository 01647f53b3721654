"""The second path: what goes, to whom, once, in which order; a real pty."""

from __future__ import annotations

import pytest
from second_parts import HOUR_MS, MINUTE_MS, NUMBERS, SMS, Site, site_of

from edge.alarm import Alarm
from edge.config import AlarmConfig
from edge.second_path import SETTLED_MS, STATE
from firmware_bridge.sim_modem import ModemPty, SimulatedModem


@pytest.fixture
def modem(tmp_path):
    simulated = SimulatedModem(chatter=b"\r\nRING\r\n")
    with ModemPty(simulated, link=tmp_path / "modem") as pty:
        yield pty


def test_nothing_goes_before_its_time_and_then_the_highest_goes_first(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem, "after_minutes = 5\n")
    sent = modem.modem.sent
    site.until(lambda: site.second.values(site.now_ms)["modem"]["ready"])
    for level, number in ((2, 1), (1, 2), (4, 3), (3, 4)):
        site.take(site.alarm(level, number))
    site.skip(5 * MINUTE_MS - 2000)
    site.quiet()
    assert sent == []
    assert not site.second.values(site.now_ms)["open"]
    site.skip(5000)
    site.until(lambda: len(sent) == 3)
    site.quiet()
    assert [text.split(" slope")[0] for _, text in sent] == [
        "ALARM level 4", "WARNING level 3", "CAUTION level 2",
    ]  # fmt: skip
    assert {number for number, _ in sent} == {NUMBERS[0]}
    text = sent[0][1]
    assert len(text) <= 160
    assert "(demo)" in text
    assert ": tilt of head 3.1 mrad #" in text
    assert text.endswith("-3")
    values = site.second.values(site.now_ms)
    assert values["open"]
    assert values["paths"]["sms 1 (..111)"]["sent"] == 3
    assert [went["path"] for went in values["went"]] == ["sms 1 (..111)"] * 3
    assert NUMBERS[0] not in str(values) + str(site.second.log)


def test_each_alarm_goes_once_also_over_restarts(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    sent = modem.modem.sent
    first = site.alarm(3)
    site.take(first)
    site.turn()
    site.skip(6 * MINUTE_MS)
    site.restart()  # a power cut: the broker is still away, and no five minutes begin anew
    site.until(lambda: len(sent) == 1)
    site.turn()
    site.take(first)
    site.restart()
    site.take(first)
    site.take(site.alarm(4, 9))
    site.until(lambda: len(sent) == 2)
    site.quiet()
    assert len(sent) == 2
    assert sent[1][1].startswith("ALARM")


def test_what_the_broker_has_does_not_go_and_what_may_have_been_lost_does(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    sent = modem.modem.sent
    site.connected = True
    site.turn()
    site.take(site.alarm(4, 1))
    site.skip(2 * SETTLED_MS)
    site.turn()
    site.take(site.alarm(3, 2))  # while the line was cut already, and nobody knew
    site.skip(20_000)
    site.turn()
    site.connected = False
    site.turn()
    site.take(site.alarm(2, 3))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: len(sent) == 2)
    site.quiet()
    assert [text.split()[0] for _, text in sent] == ["WARNING", "CAUTION"]
    site.take(site.alarm(4, 4))
    site.connected = True  # and back at once: it goes the usual way
    site.turn()
    site.skip(2 * SETTLED_MS)
    site.quiet()
    site.connected = False
    site.turn()
    site.skip(6 * MINUTE_MS)
    site.quiet()
    assert len(sent) == 2
    assert not site.second.values(site.now_ms)["paths"]["sms 1 (..111)"]["waiting"]


def test_the_limit_of_an_hour_is_said_once_and_a_higher_level_goes_beyond_it(
    tmp_path, modem
) -> None:
    site = site_of(tmp_path, modem)
    path = site.path
    path.write_text(path.read_text().replace("\nnumbers =", "\nmax_per_hour = 3\nnumbers ="))
    site.restart()
    sent = modem.modem.sent
    site.turn()
    site.skip(6 * MINUTE_MS)
    for number in range(8):
        site.take(site.alarm(2, number + 1))
        site.skip(10)
    site.until(lambda: len(sent) == 4)
    site.quiet()
    assert len(sent) == 4
    assert "5 more alarms are waiting" in sent[3][1]
    site.restart()
    site.take(site.alarm(4, 90))
    site.until(lambda: len(sent) == 5)
    site.quiet()
    assert sent[4][1].startswith("ALARM")
    assert len(sent) == 5
    site.skip(HOUR_MS)
    site.until(lambda: len(sent) == 9)
    ids = [text.rpartition("-")[2] for _, text in sent if "more alarms" not in text]
    assert ids == ["1", "2", "3", "90", "4", "5", "6"]  # oldest first within a level
    assert "2 more alarms are waiting" in sent[8][1]


def test_several_numbers_and_one_that_is_wrong(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    site.path.write_text(site.path.read_text().replace('1111"]', f'1111", "{NUMBERS[1]}"]'))
    site.restart()
    modem.modem.faults.errors = [28]  # what the first gets
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: len(modem.modem.sent) == 1)
    site.until(lambda: site.second.values(site.now_ms)["paths"]["sms 2 (..222)"]["sent"] == 1)
    failed = site.second.values(site.now_ms)["paths"]["sms 1 (..111)"]
    assert (failed["failed"], failed["sent"], failed["waiting"]) == (1, 0, 1)
    assert "no such number" in failed["reason"]
    site.skip(MINUTE_MS)  # it is tried again, and the network has thought better of it
    site.until(lambda: len(modem.modem.sent) == 2)
    assert {number for number, _ in modem.modem.sent} == set(NUMBERS)


def test_nobody_is_told_what_somebody_has_acknowledged(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    site.turn()
    site.take(site.alarm(3, 1))
    site.take(site.alarm(3, 2, station="other"))
    site.take(site.alarm(3, 3, kind="acknowledged", acknowledged_by="ana"))
    site.take(site.alarm(2, 4, previous=3, acknowledged_by="ana"))
    site.take(site.alarm(4, 5, previous=2))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: len(modem.modem.sent) == 2)
    site.quiet()
    assert [t.split(" (")[0] for _, t in modem.modem.sent] == [
        "ALARM level 4 slope", "WARNING level 3 other",
    ]  # fmt: skip


def test_drills_are_marked_and_go_last_and_no_data_goes(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    site.turn()
    rules = AlarmConfig((1.0, 2.0, 3.0, 4.0), 0.1, on_delay_ms=0, off_delay_ms=0, ceiling={})
    alarm = Alarm("slope", rules, "v1")
    now_ms = site.now_ms
    site.take(alarm.drill(now_ms, 4, "ana"))
    change = alarm.silence(now_ms, ("tilt",), no_data=True, why="tilt is silent for 60 s")
    assert change is not None
    site.take(change)
    again = alarm.silence(now_ms, ("tilt", "rain"), no_data=True, why="and rain")
    ended = alarm.silence(now_ms, (), no_data=False, why="")
    assert again is not None
    assert ended is not None
    site.take(again)
    site.take(ended)
    site.skip(6 * MINUTE_MS)
    sent = modem.modem.sent
    site.until(lambda: len(sent) == 2)
    site.quiet()
    assert sent[0][1].startswith("NO-DATA (level 0 held) slope")
    assert "tilt is silent for 60 s" in sent[0][1]
    assert sent[1][1].startswith("DRILL, NO REAL ALARM: ALARM level 4 slope")
    assert len(sent) == 2


def test_a_spoilt_state_is_said_and_the_next_alarm_goes(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    for spoilt in (
        b"",
        b"[]",
        b"{}",
        b'{"away_ms": 1, "hours": [], "sms": 3, "queue": 4}',
        b"\xff",
    ):
        site.saved = spoilt
        site.restart()
        assert "cannot be used" in site.second.log[-1], spoilt
    site.turn()
    site.take(site.alarm(4))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: len(modem.modem.sent) == 1)


def test_more_than_there_is_room_for_costs_the_least_urgent_and_is_counted(tmp_path) -> None:
    site = Site(tmp_path, "\n[second_path]\n" + SMS.format(device="/dev/modem"))
    for number in range(400):
        site.take(site.alarm(2 + number % 3, number + 1))
    values = site.second.values(site.now_ms)
    assert values["paths"]["sms 1 (..111)"]["waiting"] == 256
    assert values["given_up"] == {"no room": 144}
    assert len(site.second.state()[STATE]) < 200_000
    levels = [n.level for n in site.second._queue.waiting(f"sms {NUMBERS[0]}")]
    assert levels.count(4) == 133  # none of the highest
