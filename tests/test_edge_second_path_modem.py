"""The modem of the second path: doubt, absence, PIN, and the table; a real pty."""

from __future__ import annotations

import os

import pytest
from second_parts import HOUR_MS, MINUTE_MS, SMS, Site, site_of

from edge.errors import ConfigError, TalusError
from edge.second_path import STATE
from firmware_bridge.sim_modem import ModemPty, SimulatedModem


@pytest.fixture
def modem(tmp_path):
    simulated = SimulatedModem(chatter=b"\r\nRING\r\n")
    with ModemPty(simulated, link=tmp_path / "modem") as pty:
        yield pty


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
