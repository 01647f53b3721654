"""A node is updated while the gateway watches: real broker, real gateway, real talus-flash."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import flash_parts

from export.demo import make_node, write_config
from export.slope import CHANNELS
from firmware_bridge.update_notes import begin_maintenance, end_maintenance

LIMIT_S = 2.0
ALL = dict.fromkeys(CHANNELS, "maintenance")


def config_of(tmp_path: Path, device: str, port: int) -> Path:
    path = write_config(tmp_path, device, port)
    text = path.read_text(encoding="utf-8")
    for old, new in (
        ("no_data_after_s = 5", f"no_data_after_s = {LIMIT_S}"),
        ("# capture =", "capture ="),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def reasons(room) -> list[str]:
    return [alarm["reason"] for alarm in room.of("alarm")]


def in_maintenance(room) -> list[dict]:
    return [alarm for alarm in room.of("alarm") if alarm["quality"] == ALL]


def replayed(tmp_path: Path, config: Path) -> list[bytes]:
    capture = tmp_path / "talus-data" / "raw.capture"
    command = [sys.executable, "-m", "edge", "replay", str(capture), "--config", str(config)]
    return subprocess.run([*command, "--json"], capture_output=True, check=True).stdout.splitlines()


def test_an_update_is_announced_at_both_ends_and_is_no_silence(
    tmp_path, broker, room, talus
) -> None:
    parts = flash_parts.parts(tmp_path, delay_ms=150)  # the update takes longer than LIMIT_S
    node = make_node(250.0)
    config = config_of(tmp_path, node.device, broker.port)
    gateway = talus(config)
    data = tmp_path / "talus-data"
    with node:
        room.wait(lambda: room.rows() >= 200)
        before = len(room.of("alarm"))
        began = time.monotonic()
        flashing = flash_parts.start(parts.options("--data-dir", str(data), "--name", "node"))
        room.wait(lambda: in_maintenance(room))
        room.wait(lambda: room.of("health")[-1]["ports"]["node"]["state"] == "maintenance")
        assert room.of("health")[-1]["stations"]["slope"]["quality"] == ALL
        said, _ = flashing.communicate(timeout=60)
        assert flashing.returncode == 0, said
        assert time.monotonic() - began > LIMIT_S + 1  # else this proves nothing
        room.wait(lambda: "has ended" in reasons(room)[-1] or 4 in room.levels())
        rows = room.rows()
        room.wait(lambda: room.rows() > rows + 100)  # it is watched again
        room.wait(lambda: node.rows_sent == 1426 and room.rows() == 1426)
    totals = gateway.stop()
    assert totals["published"] == 1426

    # Between the two announcements nothing was called silent, and nothing fell.
    events = room.of("alarm")
    begin = next(i for i, a in enumerate(events) if a["quality"] == ALL)
    assert begin >= before
    assert events[begin]["reason"].startswith("maintenance of port node: meanwhile nobody watches")
    assert events[begin + 1]["reason"].startswith("maintenance of port node has ended")
    assert events[begin + 1]["quality"] == {}
    assert not any(a["no_data"] for a in events[begin : begin + 2])
    telemetry = [m for m in room.of("telemetry") if "quality" in m]
    assert [m["quality"] for m in telemetry] == [ALL]
    states = [m for t, m, _ in room.messages if t == "talus/demo/slope/state"]
    assert ALL in [m["quality"] for m in states]
    assert states[-1]["quality"] == {}

    # Replaying what was recorded gives the same events, byte for byte.
    live = [room.raw["talus/demo/slope/alarm" + a["id"]] for a in events]
    assert replayed(tmp_path, config) == live


def test_no_node_is_updated_under_an_alarm_and_the_level_is_held_over_a_note_that_expires(
    tmp_path, broker, room, talus
) -> None:
    parts = flash_parts.parts(tmp_path)
    node = make_node(200.0)
    config = config_of(tmp_path, node.device, broker.port)
    gateway = talus(config)
    data = tmp_path / "talus-data"
    with node:
        room.wait(lambda: 2 in room.levels())
        code, said = flash_parts.flash(parts.options("--data-dir", str(data), "--name", "node"))
        assert code == 3, said
        assert "alarm raised: slope (level " in said
        # A note whose technician went home: it has some seconds left.
        before = len(in_maintenance(room))
        begin_maintenance(data, "node", now_ms() - 60_000 + round(2000 * LIMIT_S), 1)
        room.wait(lambda: len(in_maintenance(room)) > before)
    held = in_maintenance(room)[-1]["level"]  # the node has gone
    assert held >= 2
    room.wait(lambda: room.of("alarm")[-1]["no_data"])
    gateway.stop()
    last = room.of("alarm")[-3:]
    assert last[0]["reason"].startswith("maintenance of port node: meanwhile")
    assert last[1]["reason"].startswith("maintenance of port node has ended")
    assert last[2]["reason"].startswith("NO-DATA: nothing for 2 s from")
    assert [a["level"] for a in last] == [held] * 3


def test_a_gateway_that_starts_anew_in_maintenance_stays_off_the_port(
    tmp_path, broker, room, talus
) -> None:
    node = make_node(300.0)
    config = config_of(tmp_path, node.device, broker.port)
    gateway = talus(config)
    data = tmp_path / "talus-data"
    with node:
        room.wait(lambda: room.rows() >= 100)
        begin_maintenance(data, "node", now_ms())
        room.wait(lambda: in_maintenance(room))
        gateway.kill()
        again = talus(config)
        again.wait_log("broker: connected", times=2)
        time.sleep(LIMIT_S + 1)  # longer than silence may last
        sent = node.rows_sent
        assert not node.pty.listening()
        end_maintenance(data, "node")
        room.wait(lambda: "maintenance of port node has ended" in reasons(room)[-1])
        room.wait(lambda: node.rows_sent > sent + 50)
    events = room.of("alarm")
    begin = events.index(in_maintenance(room)[0])
    assert len(in_maintenance(room)) == 1  # said once, and known over the restart
    assert "has ended" in events[begin + 1]["reason"]
    again.stop()
