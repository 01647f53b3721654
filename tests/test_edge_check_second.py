"""``talus check`` of the second path and of who may command: a real pty, real programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from remote_parts import KEY, OTHER

from edge.__main__ import main
from edge.check_remote import check_remote
from edge.check_second import check_second_path
from edge.config import load_config
from edge.finding import Finding
from export.demo import write_config
from firmware_bridge.sim_modem import ModemPty, SimulatedModem

SMS = '[second_path.sms]\ndevice = "{device}"\nnumbers = ["+436641111111"]\n'


def look(folder: Path, toml: str) -> list[Finding]:
    folder.mkdir(exist_ok=True)
    path = write_config(folder, "/dev/none", 1)
    path.write_text(path.read_text(encoding="utf-8") + "\n" + toml, encoding="utf-8")
    return list(check_second_path(load_config(path)))


def asked(folder: Path, modem: SimulatedModem, extra: str = "") -> Finding:
    with ModemPty(modem, link=folder / "modem") as pty:
        (found,) = look(folder, SMS.format(device=pty.device) + extra)
    assert found.path == "second_path.sms.device"
    assert modem.sent == []
    return found


def test_a_modem_in_its_network_is_well(tmp_path: Path) -> None:
    found = asked(tmp_path, SimulatedModem())
    assert (found.ok, found.sure) == (True, True), found
    assert "the modem is in its network" in found.text
    assert "+43" not in found.text


def test_what_the_modem_lacks_is_said(tmp_path: Path) -> None:
    found = asked(tmp_path, SimulatedModem(registered=3))
    assert (found.ok, "no network: the network refuses this SIM" in found.text) == (False, True)


def test_a_pin_is_not_tried_here(tmp_path: Path) -> None:
    modem = SimulatedModem(pin="1234")
    pin = tmp_path / "pin"
    pin.write_text("9999\n")
    pin.chmod(0o600)
    found = asked(tmp_path, modem, 'pin_file = "pin"\n')
    assert (found.ok, found.sure, modem.tries_left) == (True, False, 3)
    assert "its SIM wants its PIN, which talus run gives it" in found.text


def test_a_sim_that_wants_a_pin_that_nobody_has_is_a_failure(tmp_path: Path) -> None:
    found = asked(tmp_path, SimulatedModem(pin="1234"))
    assert (found.ok, "the SIM wants its PIN" in found.text) == (False, True)


def test_a_modem_that_says_nothing_and_one_that_is_not_there_are_failures(tmp_path: Path) -> None:
    modem = SimulatedModem()
    modem.faults.silent = 10**6
    found = asked(tmp_path, modem)
    assert (found.ok, "gives no answer" in found.text) == (False, True)
    (found,) = look(tmp_path / "other", SMS.format(device=tmp_path / "absent"))
    assert (found.ok, str(tmp_path / "absent") in found.text) == (False, True)


def test_a_pin_that_others_can_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234")
    (tmp_path / "pin").chmod(0o644)
    (found,) = look(tmp_path, SMS.format(device="/dev/none2") + 'pin_file = "pin"\n')
    assert (found.ok, found.path) == (False, "second_path.sms.pin_file")
    assert "can be read by others" in found.text


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o755, "can be run, from level 3 on"), (0o644, "not a program"), (0o757, "chmod o-w"),
     (None, "No such file")],
)  # fmt: skip
def test_a_program_of_an_output_is_looked_at_and_not_run(tmp_path: Path, mode, said: str) -> None:
    program, proof = tmp_path / "siren", tmp_path / "was-run"
    if mode is not None:
        program.write_text(f"#!/bin/sh\ntouch {proof}\n")
        program.chmod(mode)
    output = f'[[second_path.output]]\nname = "siren"\ncommand = ["{program}", "on"]\n'
    (found,) = look(tmp_path, output)
    assert (found.ok, found.path) == (mode == 0o755, "second_path.output[0].command")
    assert said in found.text
    assert not proof.exists()


def remote(folder: Path, toml: str) -> list[Finding]:
    folder.mkdir(exist_ok=True)
    path = write_config(folder, "/dev/none", 1)
    path.write_text(path.read_text(encoding="utf-8") + "\n" + toml, encoding="utf-8")
    path.chmod(0o644)
    return list(check_remote(load_config(path), path))


def test_whose_commands_are_obeyed_is_said(tmp_path: Path) -> None:
    assert remote(tmp_path / "a", "") == []
    keys = f'[remote]\nkeys = ["{KEY.public.text}", "{OTHER.public.text}"]\n'
    (found,) = remote(tmp_path / "b", keys)
    assert (found.ok, found.sure) == (True, True)
    assert KEY.public.id in found.text
    assert OTHER.public.id in found.text
    (found,) = remote(tmp_path / "c", "[remote]\nallow_unsigned_commands = true\n")
    assert "whoever the broker lets publish is obeyed" in found.text


def test_a_configuration_that_everybody_can_write_lets_everybody_command(tmp_path: Path) -> None:
    path = write_config(tmp_path, "/dev/none", 1)
    with path.open("a", encoding="utf-8") as file:
        file.write(f'\n[remote]\nkeys = ["{KEY.public.text}"]\n')
    path.chmod(0o646)
    first, _ = check_remote(load_config(path), path)
    assert (first.ok, "chmod o-w" in first.text) == (False, True)


def test_a_key_that_also_signs_bundles_is_pointed_out(tmp_path: Path) -> None:
    path = write_config(tmp_path, "/dev/none", 1)
    text = path.read_text(encoding="utf-8")
    text = text.replace("allow_unsigned = true", f'keys = ["{KEY.public.text}"]')
    path.write_text(f'{text}\n[remote]\nkeys = ["{KEY.public.text}"]\n', encoding="utf-8")
    (found,) = check_remote(load_config(path), path)
    assert (found.ok, found.sure, "also signs bundles" in found.text) == (True, False, True)


def test_the_command_says_all_of_it(tmp_path: Path, capsys) -> None:
    path = write_config(tmp_path, "/dev/none", 1)
    path.chmod(0o644)
    with path.open("a", encoding="utf-8") as file:
        file.write(f'\n[remote]\nkeys = ["{KEY.public.text}"]\n{SMS.format(device="/dev/none2")}')
    assert main(["check", "--config", str(path), "--listen", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok   remote.keys: commands are obeyed of") for line in lines)
    assert any(line.startswith("FAIL second_path.sms.device: /dev/none2") for line in lines)
