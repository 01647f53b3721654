"""Orders to a running gateway, what they leave behind, and the same decisions made again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.order import Order
from edge.order_box import put_order
from export.demo import make_node, write_config

RATE = 1500.0


def config_of(tmp_path: Path, device: str, port: int) -> Path:
    path = write_config(tmp_path, device, port)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("# capture =", "capture ="), encoding="utf-8")
    return path


def talus_command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def kinds(room) -> list[str]:
    return [alarm["kind"] for alarm in room.of("alarm")]


def test_orders_are_done_once_told_audited_and_replayed(tmp_path, broker, room, talus) -> None:
    node = make_node(RATE)
    config = config_of(tmp_path, node.device, broker.port)
    gateway = talus(config)
    with node:
        room.wait(lambda: room.rows() == 1426 and 4 in room.levels())
        why = ("--who", "ana", "--why", "seen on the webcam", "--config", config)
        done = talus_command("ack", "slope", *why)
        assert (done.returncode, done.stdout) == (0, "level 4 (alarm) acknowledged by ana\n")
        done = talus_command("shelve", "slope", "models", "--for", "8h", *why)
        assert done.returncode == 0
        assert "models is shelved for 480 min by ana: seen on the webcam" in done.stdout
        done = talus_command("drill", "slope", "--level", "3", *why)
        assert "DRILL of level 3 (warning) by ana" in done.stdout
        wrong = talus_command("shelve", "slope", "no such", "--for", "8h", *why)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "no rule 'no such' at slope; there are: models" in wrong.stderr
        wrong = talus_command("ack", "another", *why)
        assert "no station 'another'; there are: slope" in wrong.stderr
        twice = Order("once", "drill", "slope", "bob", level=1)
        put_order(tmp_path / "talus-data", twice)
        room.wait(lambda: kinds(room).count("drill") == 2)
        put_order(tmp_path / "talus-data", twice)
        box = tmp_path / "talus-data" / "orders"
        room.wait(lambda: not list(box.glob("*.order")))
    gateway.stop()
    assert kinds(room).count("drill") == 2
    events = {alarm["kind"]: alarm for alarm in room.of("alarm")}
    assert events["acknowledged"]["acknowledged_by"] == "ana"
    assert list(events["shelved"]["shelved"]) == ["models"]
    assert events["drill"]["level"] == 1
    assert [m for t, m, _ in room.messages if t == "talus/demo/slope/state"][-1]["level"] == 4
    audit = (tmp_path / "talus-data" / "orders.log").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition("} ")[2].split(":")[0] for line in audit] == [
        "done", "done", "done", "refused", "refused", "done", "done",
    ]  # fmt: skip

    capture = tmp_path / "talus-data" / "raw.capture"
    command = [sys.executable, "-m", "edge", "replay", str(capture), "--config", str(config)]
    again = subprocess.run([*command, "--json"], capture_output=True, check=True)
    live = [room.raw["talus/demo/slope/alarm" + a["id"]] for a in room.of("alarm")]
    found = again.stdout.splitlines()
    assert found == live[: len(found)]
    # A replay ends with the last record, and so before a silence that began after it.
    assert set(kinds(room)[len(found) :]) <= {"silence"}

    said = talus_command("explain", "--list", "--config", config).stdout
    assert said.splitlines()[0].split()[0] == room.of("alarm")[-1]["id"]
    top = next(a for a in room.of("alarm") if a["level"] == 4 and a["kind"] == "level")
    picture = tmp_path / "why.svg"
    told = talus_command("explain", top["id"], "--config", config, "--again", "--plot", picture)
    assert (told.returncode, "the same came of it" in told.stderr) == (0, True), told.stderr
    assert f"why        {top['reason']}" in told.stdout
    assert "by         talus" in told.stdout
    assert "demo-slope v1" in told.stdout
    assert "<polyline" in picture.read_text(encoding="utf-8")
    missing = talus_command("explain", "slope-1-1", "--config", config)
    assert (missing.returncode, "no such alarm" in missing.stderr) == (1, True)


def test_without_a_gateway_an_order_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge import order_commands
    from edge.__main__ import main

    config = write_config(tmp_path, "/dev/none", 1)
    (tmp_path / "talus-data").mkdir()
    monkeypatch.setattr(order_commands, "PATIENCE_S", 0.1)
    assert main(["drill", "slope", "--config", str(config)]) == 1
    assert len(list((tmp_path / "talus-data" / "orders").glob("*.order"))) == 1
