"""``talus doctor`` beside a real gateway, broker and node."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from doctor_parts import doctor, of, plant, program, site
from test_users_check import Line

from edge.config import load_config
from edge.doctor_diagnosis import CHECKS
from edge.doctor_drill import Drill, drill
from edge.doctor_process import Process
from export.demo import make_node, write_config
from export.local_broker import free_port

PATIENCE_S = 60.0
BOARD = {"power", "temperature", "memory", "clock"}  # of the machine that runs the tests


def until(what, patience_s: float = PATIENCE_S):
    """Ask again until something comes of it."""
    end_s = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end_s
        time.sleep(0.2)
    return found


def first(diagnoses: list[dict], check: str) -> dict:
    return next(d for d in diagnoses if d["check"] == check)


def quick(config: Path) -> Path:
    """Let the gateway save its state every second, as the doctor reads that."""
    text = config.read_text(encoding="utf-8")
    text = text.replace("snapshot_every_s = 60", "snapshot_every_s = 1")
    config.write_text(text, encoding="utf-8")
    return config


def test_a_gateway_at_work_its_drill_and_then_its_cable(
    tmp_path, capsys, broker, room, talus
) -> None:
    cable = tmp_path / "node"  # the number of a pty may be another's as soon as it is closed
    node = make_node(40.0, link=cable)
    config = quick(write_config(tmp_path, str(cable), broker.port))
    gateway = talus(config)
    with node:
        room.wait(lambda: room.rows() > 100)
        words = ("--config", str(config), "--root", "/")

        def reports() -> list[dict]:
            _, found = doctor(capsys, *words, "--only", "service,ports,values,storage,outbox")
            known = "last values: crack_1" in of(found, "values", "slope")["text"]
            return found if known else []

        found = until(reports)
        assert f"process {gateway.process.pid}" in first(found, "service")["text"]
        assert of(found, "ports", "node")["text"] == "tw1 reports"
        assert "MB" in of(found, "storage", "written a day")["text"]
        assert of(found, "outbox", "alarms")["state"] == "ok"
        before = node.rows_sent

        _, found = doctor(capsys, *words, "--drill", "slope", "--level", "2")
        assert not [d for d in found if d["state"] == "fault" and d["check"] not in BOARD]
        drilled = of(found, "drill", "slope")
        assert "acknowledged by the broker" in drilled["text"]
        room.wait(lambda: any(alarm["kind"] == "drill" for alarm in room.of("alarm")))
        (alarm,) = [alarm for alarm in room.of("alarm") if alarm["kind"] == "drill"]
        assert drilled["text"].startswith(alarm["id"])
        assert {d["check"] for d in found} == set(CHECKS)
        assert node.rows_sent > before  # the port was left to the gateway
        assert doctor(capsys, *words, "--health-gate")[0] == 0
    assert gateway.log().count("vanished") <= 1
    cable.unlink(missing_ok=True)

    def silent() -> list[dict]:
        _, found = doctor(capsys, "--config", str(config), "--only", "ports,values")
        return found if any("NO-DATA" in d["text"] for d in found) else []

    found = until(silent)
    cut = of(found, "ports", "node")
    assert (cut["state"], cut["gate"]) == ("fault", True)  # the only port
    assert "does not exist" in cut["text"]
    assert "plugged in" in cut["fix"]
    totals = gateway.stop()
    assert totals["readings_in"] + totals["carried_over"] == totals["published"] + totals["waiting"]
    _, found = doctor(capsys, "--config", str(config), "--only", "service")
    assert "not at work" in next(d for d in found if not d["subject"])["text"]


def test_a_gateway_that_hangs_is_told_from_one_that_works(tmp_path, capsys, talus) -> None:
    config = quick(write_config(tmp_path, str(tmp_path / "absent"), free_port()))
    gateway = talus(config)
    gateway.wait_log("absent")
    data, words = tmp_path / "talus-data", ("--config", str(config), "--only", "service")
    until((data / "outbox.db").exists)
    assert "is at work" in doctor(capsys, *words)[1][0]["text"]
    gateway.process.send_signal(signal.SIGSTOP)
    root, pid = tmp_path / "root", gateway.process.pid  # the same, an hour later
    old_s = time.time() - 3600
    for path in data.glob("outbox.db*"):
        os.utime(path, (old_s, old_s))
    plant(root, "proc/locks", Path("/proc/locks").read_text())
    plant(root, "proc/uptime", "100000.0 1.0\n")
    plant(root, f"proc/{pid}/stat", f"{pid} (talus run) S " + "0 " * 18 + "100 0\n")
    code, found = doctor(capsys, *words, "--root", str(root))
    gateway.process.send_signal(signal.SIGCONT)
    assert code == 1
    assert "has saved nothing for 60 min: it hangs, or cannot" in found[0]["text"]


def test_what_it_writes_in_a_day_against_what_the_card_should_bear(tmp_path, capsys, talus) -> None:
    config = write_config(tmp_path, str(tmp_path / "absent"), free_port())
    gateway = talus(config)
    gateway.wait_log("absent")
    root, pid = tmp_path / "root", gateway.process.pid
    plant(root, "proc/locks", Path("/proc/locks").read_text())
    plant(root, "proc/uptime", "86401.0 1.0\n")
    plant(root, f"proc/{pid}/stat", f"{pid} (a) b) S " + "0 " * 18 + "100 0\n")
    words = ("--config", str(config), "--only", "storage", "--root", str(root))
    for written_mb, state in ((300, "ok"), (3000, "warn")):
        plant(root, f"proc/{pid}/io", f"rchar: 1\nwrite_bytes: {written_mb * 10**6}\n")
        found = of(doctor(capsys, *words)[1], "storage", "written a day")
        assert found["state"] == state
        assert found["value"] == pytest.approx(written_mb, rel=0.01)
    found = of(doctor(capsys, *words, "--write-budget-mb", "4000")[1], "storage", "written a day")
    assert found["state"] == "ok"
    (root / f"proc/{pid}/io").unlink()
    found = of(doctor(capsys, *words)[1], "storage", "written a day")
    assert found["state"] == "unsure"


def test_ports_that_nobody_holds_are_asked(tmp_path, capsys) -> None:
    node = make_node(50.0)
    config = write_config(tmp_path, node.device, free_port())
    words = ("--config", str(config), "--only", "ports")
    with node:
        found = of(doctor(capsys, *words)[1], "ports", "node")
        assert (found["state"], found["unit"]) == ("ok", "s")
        assert "tw1 answers: a reading after" in found["text"]
    for said, state in ((b"", "unsure"), (b"$GPGGA,123519,4807.038,N*47\r\n", "fault")):
        with Line(said) as line:
            text = re.sub(r'device = ".*"', f'device = "{line.device}"', config.read_text())
            config.write_text(text)
            found = of(doctor(capsys, *words, "--listen", "0.5")[1], "ports", "node")
            assert found["state"] == state
            assert f"talus probe {line.device}" in found["fix"] or state == "unsure"


def test_a_drill_and_the_second_path_while_the_broker_is_away(
    tmp_path, capsys, monkeypatch, talus
) -> None:
    monkeypatch.setattr("edge.doctor_drill.AIR_S", 1.0)
    program(tmp_path, "siren", "exit 0")
    config = quick(write_config(tmp_path, str(tmp_path / "absent"), free_port()))
    tables = f"""
[second_path]
after_minutes = 0.05
[[second_path.output]]
name = "siren"
command = ["{tmp_path}/usr/bin/siren", "on"]
"""
    config.write_text(config.read_text() + tables)
    talus(config).wait_log("absent")
    words = ("--config", str(config), "--only", "second_path")
    code, found = doctor(capsys, *words, "--drill")
    assert code == 1
    assert "decided and stored, but no broker has taken it" in of(found, "drill")["text"]
    assert "refused: no station" in of(doctor(capsys, *words, "--drill", "x")[1], "drill")["text"]

    def is_open() -> bool:
        _, found = doctor(capsys, *words)
        return any("open: the broker has been away" in d["text"] for d in found)

    until(is_open)


def test_what_root_asks_the_user_of_the_gateway_can_read(tmp_path, monkeypatch) -> None:
    if os.geteuid():
        pytest.skip("NOT TESTED: only root can be another user")
    monkeypatch.setattr("edge.doctor_drill.ANSWER_S", 0.1)
    config = load_config(site(tmp_path))
    config.data_dir.mkdir(mode=0o700)
    os.chown(config.data_dir, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    (found,) = drill(config, Process(7, 0.0, None, None), Drill(), foreign=False)
    assert "has not answered" in found.text
    orders = [config.data_dir / "orders", *(config.data_dir / "orders").iterdir()]
    assert len(orders) == 2
    assert {path.stat().st_uid for path in orders} == {65534}
    assert os.geteuid() == 0
