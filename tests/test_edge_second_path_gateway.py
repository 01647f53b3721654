"""A whole gateway whose broker goes away: texts and a siren in its place, figures all the while."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.request

import pytest

from export.demo import make_node, write_config
from export.local_broker import free_port
from firmware_bridge.sim_modem import ModemPty, SimulatedModem

TABLES = """
[second_path]
after_minutes = 0.05

[second_path.sms]
device = "{modem}"
numbers = ["+436641111111"]

[[second_path.output]]
name = "siren"
command = ["{siren}"]
level = 4

[metrics]
port = {port}
file = "talus.prom"
every_s = 0.5
"""


def figures(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def until(what, gateway) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, gateway.log()[-3000:]
        time.sleep(0.05)


def test_alarms_go_another_way_once_and_to_the_broker_all_the_same(
    tmp_path, broker, room, talus
) -> None:
    siren, sounded = tmp_path / "siren", tmp_path / "sounded"
    siren.write_text(f'#!/bin/sh\necho "$TALUS_LEVEL $TALUS_STATION" >> {sounded}\n')
    siren.chmod(0o755)
    simulated, port = SimulatedModem(chatter=b"\r\nRING\r\n"), free_port()
    node = make_node(1500.0)
    config = write_config(tmp_path, node.device, broker.port)
    with ModemPty(simulated, link=tmp_path / "modem") as modem:
        tables = TABLES.format(modem=modem.device, siren=siren, port=port)
        config.write_text(config.read_text(encoding="utf-8") + tables, encoding="utf-8")
        gateway = talus(config)
        gateway.wait_log("second path: modem")
        room.wait(lambda: room.of("status"))
        broker.stop()
        gateway.wait_log("lost the connection")
        with node:
            until(lambda: len(simulated.sent) >= 3, gateway)
            until(sounded.exists, gateway)
            until(lambda: figures(port)["talus_second_path_open"] == 1, gateway)
        levels = [re.match(r"(\w+) level (\d) slope \(demo\)", text) for _, text in simulated.sent]
        assert [found and found[2] for found in levels[:3]] == ["4", "3", "2"]
        assert sounded.read_text() == "4 slope\n"
        until(
            lambda: figures(port).get('talus_second_path_sent_total{path="sms 1 (..111)"}') == 3,
            gateway,
        )
        shown = figures(port)
        assert shown["talus_broker_connected"] == 0
        assert shown['talus_station_level{station="slope"}'] == 4
        assert shown['talus_second_path_sent_total{path="output siren"}'] == 1
        assert shown["talus_outbox_messages"] > 0
        promtool = shutil.which("promtool")
        if promtool is not None:
            text = (tmp_path / "talus.prom").read_bytes()
            done = subprocess.run([promtool, "check", "metrics"], input=text, check=False,
                                  capture_output=True, timeout=60)  # fmt: skip
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

        gateway.kill()
        again = talus(config)
        again.wait_log(": ready", 2)  # in one log: that of the first as well
        time.sleep(1)
        texts = [text for _, text in simulated.sent]
        assert len({text.rpartition("#")[2] for text in texts}) == len(texts)
        assert sounded.read_text() == "4 slope\n"
        broker.start()
        room.wait(lambda: {1, 2, 3, 4} <= set(room.levels()))
        room.wait(lambda: any(h.get("second_path", {}).get("went") for h in room.of("health")))
        again.wait_log("the broker is back: the second path is closed")
        told = [h["second_path"] for h in room.of("health") if h["second_path"]["went"]][-1]
        by_room = {alarm["id"] for alarm in room.of("alarm")}
        assert {went["id"] for went in told["went"]} <= by_room
        assert len(told["went"]) >= 4  # three texts and the siren
        until(lambda: figures(port)["talus_broker_connected"] == 1, again)
        again.stop()
        assert not (tmp_path / "talus.prom").exists()
    log = again.log()
    assert "436641111111" not in log


def test_a_gateway_without_the_tables_does_without(tmp_path, broker, room, talus) -> None:
    config = write_config(tmp_path, "/dev/none", broker.port)
    gateway = talus(config)
    room.wait(lambda: room.of("health"))
    second = room.of("health")[-1]["second_path"]
    assert (second["open"], second["paths"], second["went"]) == (False, {}, [])
    gateway.stop()
    assert "second path" not in gateway.log()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen("http://127.0.0.1:9101/metrics", timeout=5)
