"""The second path: what goes, to whom, once, in which order; a real pty and real programs."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge.alarm import Alarm, AlarmChange
from edge.config import AlarmConfig, load_config
from edge.errors import ConfigError, TalusError
from edge.second_path import SETTLED_MS, STATE, SecondPath
from export.demo import write_config
from firmware_bridge.sim_modem import ModemPty, SimulatedModem

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
NUMBERS = ("+436641111111", "+436642222222")


class Site:
    """A second path whose time runs as the test says, as fast as its modem answers."""

    def __init__(self, tmp_path: Path, toml: str) -> None:
        self.path = write_config(tmp_path, "/dev/none", 1)
        self.path.write_text(self.path.read_text(encoding="utf-8") + toml, encoding="utf-8")
        self.saved: bytes | None = None
        self._began_s = time.monotonic()
        self._skipped_ms = 1_761_414_365_000
        self.connected = False
        self.open()

    def open(self) -> None:
        self.second = SecondPath(load_config(self.path), self.saved, self.now_ms)

    def restart(self) -> None:
        """End as a power cut does: what was saved is all that is left."""
        self.second.close()
        self.open()

    @property
    def now_ms(self) -> int:
        return self._skipped_ms + int((time.monotonic() - self._began_s) * 1000)

    def skip(self, ms: int) -> None:
        self._skipped_ms += ms

    def take(self, change: AlarmChange) -> None:
        self.second.take(change)
        self.saved = self.second.state()[STATE]  # in one transaction with the alarm

    def turn(self) -> None:
        if self.second.look(self.now_ms, self.connected):
            self.saved = self.second.state()[STATE]

    def until(self, what, patience_s: float = 30.0) -> None:
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, (self.second.values(self.now_ms), self.second.log[-5:])
            self.turn()
            time.sleep(0.001)

    def quiet(self, turns: int = 150) -> None:
        """Go round for a while in which nothing is to happen."""
        for _ in range(turns):
            self.turn()
            time.sleep(0.001)

    def alarm(self, level: int, number: int = 0, station: str = "slope", **more) -> AlarmChange:
        now_ms = self.now_ms
        change = AlarmChange(
            f"{station}-{now_ms}-{number or level}", station, now_ms, now_ms, level,
            more.pop("previous", 0), False, (), f"level rose to {level} (x): tilt of head 3.1 mrad",
            (), "v1",
        )  # fmt: skip
        return replace(change, **more)


SMS = """
[second_path.sms]
device = "{device}"
numbers = ["+436641111111"]
"""


@pytest.fixture
def modem(tmp_path):
    simulated = SimulatedModem(chatter=b"\r\nRING\r\n")
    with ModemPty(simulated, link=tmp_path / "modem") as pty:
        yield pty


def site_of(tmp_path: Path, modem, extra: str = "") -> Site:
    return Site(tmp_path, "\n[second_path]\n" + extra + SMS.format(device=modem.device))


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
    path.write_text(path.read_text().replace("numbers =", "max_per_hour = 3\nnumbers ="))
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


def test_a_doubtful_text_is_sent_again_and_three_are_enough(tmp_path, modem) -> None:
    site = site_of(tmp_path, modem)
    modem.modem.faults.results_held = 99
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    for count in (1, 2, 3):
        site.until(lambda n=count: len(modem.modem.sent) == n)
        site.quiet(50)
        site.skip(10 * MINUTE_MS)  # no result within its time, and the wait before the next try
        site.until(
            lambda n=count: (
                site.second.values(site.now_ms)["paths"]["sms 1 (..111)"]["doubtful"] == n
            )
        )
        site.skip(10 * MINUTE_MS)
    site.quiet()
    values = site.second.values(site.now_ms)
    assert values["given_up"] == {"nobody knows whether it went, three times": 1}
    assert len(modem.modem.sent) == 3
    assert len({text for _, text in modem.modem.sent}) == 1  # the same id: to be told from new ones


def test_a_modem_that_is_not_there_loses_nothing_until_the_alarm_is_no_news(tmp_path) -> None:
    link = tmp_path / "modem"
    site = Site(tmp_path, "\n[second_path]\n" + SMS.format(device=link))
    site.turn()
    site.take(site.alarm(3, 1))
    site.skip(6 * MINUTE_MS)
    site.quiet(50)
    values = site.second.values(site.now_ms)
    assert values["paths"]["sms 1 (..111)"]["waiting"] == 1
    assert "does not exist" in values["modem"]["port"]
    simulated = SimulatedModem()
    with ModemPty(simulated, link=link):
        site.skip(5000)
        site.until(lambda: site.second.values(site.now_ms)["paths"]["sms 1 (..111)"]["sent"] == 1)
    assert len(simulated.sent) == 1
    site.until(lambda: "vanished" in str(site.second.log))
    site.take(site.alarm(3, 2))
    site.skip(25 * HOUR_MS)
    site.quiet(20)
    assert site.second.values(site.now_ms)["given_up"] == {"too old": 1}


PROGRAM = """#!/bin/sh
echo "$$ $TALUS_LEVEL $TALUS_STATION $TALUS_DRILL $1 $(env | grep -c -i -e secret -e HOME)" >> {out}
{then}
"""


def program(tmp_path: Path, then: str = "exit 0") -> tuple[Path, Path]:
    path, out = tmp_path / "siren", tmp_path / "siren.out"
    path.write_text(PROGRAM.format(out=out, then=then), encoding="utf-8")
    path.chmod(0o755)
    out.touch()
    return path, out


def output_toml(path: Path, more: str = "") -> str:
    return (
        f'\n[[second_path.output]]\nname = "siren"\ncommand = ["{path}", "; touch /tmp/x"]\n{more}'
    )


def test_a_siren_sounds_once_for_all_that_wait_without_shell_or_secrets(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "x")
    path, out = program(tmp_path)
    site = Site(tmp_path, output_toml(path))
    site.turn()
    for level, number in ((2, 1), (3, 2), (4, 3), (3, 4)):
        site.take(site.alarm(level, number))
    site.take(site.alarm(4, 5, kind="drill"))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: site.second.values(site.now_ms)["paths"]["output siren"]["sent"] == 1)
    site.quiet(100)
    (line,) = out.read_text().splitlines()
    assert line.split(" ", 1)[1] == "4 slope 0 ; touch /tmp/x 0"
    values = site.second.values(site.now_ms)["paths"]["output siren"]
    assert (values["waiting"], values["tries"], values["failed"]) == (0, 1, 0)
    site.take(site.alarm(4, 6))
    site.until(lambda: len(out.read_text().splitlines()) == 2)


def test_a_siren_that_fails_is_tried_again_and_its_exit_code_told(tmp_path) -> None:
    path, out = program(tmp_path, "exit 7")
    site = Site(tmp_path, output_toml(path, "always = true\ntries = 2\n"))
    site.connected = True  # always: also while the broker is there
    site.turn()
    site.take(site.alarm(3))
    site.until(lambda: site.second.values(site.now_ms)["paths"]["output siren"]["failed"] == 1)
    site.skip(MINUTE_MS)
    site.until(lambda: site.second.values(site.now_ms)["given_up"])
    values = site.second.values(site.now_ms)
    assert values["paths"]["output siren"]["reason"] == "exit code 7"
    assert values["given_up"] == {"2 tries failed": 1}
    assert len(out.read_text().splitlines()) == 2


def test_a_siren_that_hangs_is_ended_with_all_that_it_started(tmp_path) -> None:
    path, out = program(tmp_path, f"trap '' TERM\nsleep 300 &\necho $! >> {tmp_path}/child\nwait")
    site = Site(tmp_path, output_toml(path, "timeout_s = 0.5\ntries = 1\n"))
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until((tmp_path / "child").exists)
    site.until(lambda: site.second.values(site.now_ms)["given_up"])
    assert "its time" in site.second.values(site.now_ms)["paths"]["output siren"]["reason"]
    leader = int(out.read_text().split()[0])
    child = int((tmp_path / "child").read_text())
    for pid in (leader, child):
        end = time.monotonic() + 10
        while _runs(pid):
            assert time.monotonic() < end, pid
            time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_siren_is_in_a_session_of_its_own_and_ends_with_the_gateway(tmp_path) -> None:
    path, out = program(tmp_path, "sleep 300")
    site = Site(tmp_path, output_toml(path))
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until(out.read_text)
    pid = int(out.read_text().split()[0])
    assert os.getsid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)
    site.second.close()
    assert not _runs(pid)


def test_programs_that_everybody_may_write_or_nobody_can_run_are_not_run(tmp_path) -> None:
    path, out = program(tmp_path)
    path.chmod(0o757)
    site = Site(tmp_path, output_toml(path, "tries = 1\n"))
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: site.second.values(site.now_ms)["given_up"])
    assert "chmod o-w" in site.second.values(site.now_ms)["paths"]["output siren"]["reason"]
    path.chmod(stat.S_IRUSR)
    site.take(site.alarm(3, 7))
    site.until(lambda: "may be run" in str(site.second.log))
    path.unlink()
    site.take(site.alarm(3, 8))
    site.until(lambda: "No such file" in str(site.second.log))
    assert out.read_text() == ""


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


def test_without_a_table_nothing_is_kept_and_nothing_done(tmp_path) -> None:
    site = Site(tmp_path, "")
    site.second.take(site.alarm(4))
    assert not site.second.look(site.now_ms, broker_connected=False)
    site.skip(HOUR_MS)
    assert not site.second.look(site.now_ms, broker_connected=False)
    assert site.second.state() == {}
    assert site.second.values(site.now_ms)["paths"] == {}


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[second_path.sms]\ndevice = "/dev/m"\nnumbers = ["12 34"]\n', "digits alone"),
        ('[second_path.sms]\ndevice = "/dev/m"\nnumbers = []\n', "1 to 16"),
        ('[second_path.sms]\ndevice = "/dev/none"\nnumbers = ["+431"]\n', "device of a [[port]]"),
        ('[second_path.sms]\nnumbers = ["+431"]\n', "second_path.sms.device: missing"),
        ('[[second_path.output]]\nname = "a"\ncommand = ["siren"]\n', "by its whole path"),
        ('[[second_path.output]]\nname = "a"\ncommand = "/bin/siren on"\n', "must be a list"),
        ('[[second_path.output]]\nname = "../a"\ncommand = ["/bin/true"]\n', "letters, digits"),
        ("[second_path]\nafter = 3\n", "unknown key"),
        ("[second_path]\nlevel = 5\n", "outside 1 .. 4"),
        ('[metrics]\nfile = "/run/talus"\n', "must end in .prom"),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Site(tmp_path, "\n" + toml)
    assert said in str(caught.value)


def test_a_pin_file_that_others_can_read_is_refused_and_a_new_one_is_tried(tmp_path) -> None:
    pin = tmp_path / "sim.pin"
    pin.write_text("9999\n")
    pin.chmod(0o600)
    simulated = SimulatedModem(pin="1234")
    with ModemPty(simulated, link=tmp_path / "modem") as pty:
        toml = SMS.format(device=pty.device) + 'pin_file = "sim.pin"\n'
        site = Site(tmp_path, toml)
        pin.chmod(0o644)
        with pytest.raises(TalusError, match="chmod 600"):
            site.restart()
        pin.chmod(0o600)
        site.restart()
        site.take(site.alarm(3))
        site.until(lambda: simulated.tries_left == 2)
        site.skip(HOUR_MS)
        site.until(lambda: "not tried again" in site.second.values(site.now_ms)["modem"]["reason"])
        site.take(site.alarm(3, 8))
        site.restart()
        site.skip(HOUR_MS)
        site.until(lambda: "not tried again" in site.second.values(site.now_ms)["modem"]["reason"])
        assert simulated.tries_left == 2
        assert "9999" not in str(site.second.values(site.now_ms)) + str(site.second.log)
        assert b"9999" not in site.second.state()[STATE]
        pin.write_text("1234")
        os.utime(pin, (1, 1))
        site.restart()
        site.skip(MINUTE_MS)
        site.until(lambda: "opened" in site.second.values(site.now_ms)["modem"]["reason"])
        site.skip(MINUTE_MS)
        site.until(lambda: len(simulated.sent) == 2)
        pin.write_text("letmein")
        with pytest.raises(TalusError, match="not a PIN"):
            site.restart()
