"""``talus doctor`` as it is typed: lines, exit codes, the health gate, usage."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from doctor_parts import doctor, of, plant, site

from edge.__main__ import main
from edge.doctor_diagnosis import CHECKS, STATES
from export.demo import write_config
from export.local_broker import free_port


def test_without_a_configuration_the_board_is_looked_at(tmp_path, capsys) -> None:
    code, found = doctor(capsys, "--config", str(tmp_path / "gateway.toml"))
    assert code == 1
    assert {d["check"] for d in found} == {"config", "power", "temperature", "memory", "clock"}
    config = site(tmp_path)
    config.write_text(config.read_text().replace('unit = "mm"', 'unit = "furlong"'))
    found = [d for d in doctor(capsys, "--config", str(config))[1] if d["check"] == "config"]
    assert len(found) == 2
    assert all("unit" in d["text"] and d["fix"] for d in found)


def test_lines_are_for_grep_and_have_colour_on_a_terminal_alone(tmp_path) -> None:
    config = site(tmp_path)
    command = [sys.executable, "-m", "edge", "doctor", "--config", str(config),
               "--only", "config,trust,service"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert all(
        re.match(r"(ok  |\?\?  |--  |WARN|FAIL) [a-z_]+( .*)?: .", line) for line in lines[:-1]
    )
    assert all(". Fix: " in line for line in lines if line.startswith(("WARN", "FAIL")))
    assert lines[-1] == "1 to mend, 1 to look after"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, env=os.environ | {"TERM": "xterm"})
    process.wait()
    os.close(theirs)
    assert b"\x1b[1;31mFAIL\x1b[0m service" in os.read(ours, 65536)
    os.close(ours)


def test_the_health_gate_counts_what_an_update_can_break(tmp_path, capsys) -> None:
    config = site(tmp_path)
    root = plant(tmp_path / "root", "sys/class/thermal/thermal_zone0/temp", "99000\n").parents[4]
    words = ["--config", str(config), "--root", str(root), "--only", "temperature,bundles"]
    assert doctor(capsys, *words)[0] == 1
    assert doctor(capsys, *words, "--health-gate")[0] == 0
    assert main(["doctor", *words, "--health-gate"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "health gate: pass (1 to mend)"
    words[-1] = "service"
    assert main(["doctor", *words, "--health-gate"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("health gate: fail")


def test_it_waits_until_all_is_well(tmp_path, capsys, monkeypatch, talus) -> None:
    monkeypatch.setattr("edge.doctor_command.AGAIN_S", 0.2)
    config = write_config(tmp_path, str(tmp_path / "absent"), free_port())
    words = ("--config", str(config), "--only", "service")
    assert doctor(capsys, *words, "--wait", "0.5")[0] == 1
    talus(config)
    assert doctor(capsys, *words, "--wait", "60")[0] == 0


@pytest.mark.parametrize(
    "words",
    [["--only", "moon"], ["--skip", ","], ["--wait", "-1"], ["--level", "9"],
     ["--wait", "soon"]],
)  # fmt: skip
def test_wrong_usage_is_two(capsys, words) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *words])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_gate_sends_no_drill_and_the_schema_is_printed(capsys) -> None:
    assert main(["doctor", "--health-gate", "--drill"]) == 2
    assert main(["doctor", "--schema"]) == 0
    known = json.loads(capsys.readouterr().out)["$defs"]["diagnosis"]["properties"]
    assert (known["check"]["enum"], known["state"]["enum"]) == ([*CHECKS], [*STATES])
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    said = capsys.readouterr().out
    assert "exit codes: 0" in said
    assert all(check in said for check in CHECKS)


def test_a_drill_without_a_gateway_says_what_to_start(tmp_path, capsys) -> None:
    config = site(tmp_path)
    code, found = doctor(capsys, "--config", str(config), "--only", "config", "--drill")
    assert code == 1
    assert "start it" in of(found, "drill", "slope")["fix"]
    assert not (tmp_path / "talus-data").exists()
