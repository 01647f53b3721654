"""A whole gateway at the reference broker: the failing slope is told to the room over TLS."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import mqtt_parts as parts
import pytest
from mqtt_parts import until

from export.demo import make_node, write_config
from export.local_broker import mosquitto_path

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)


def test_a_failing_slope_is_told_over_tls_and_no_secret_is_written(tmp_path, talus) -> None:
    with parts.ReferenceBroker(tmp_path / "broker", ("demo",)) as broker:
        broker.config("demo")
        shutil.copytree(broker.files("demo") / "tls", tmp_path / "tls")
        room = broker.hear()
        node = make_node(1500.0)
        config = write_config(tmp_path, node.device, 1)
        text = config.read_text(encoding="utf-8").replace("# capture =", "capture =")
        before, _, rest = text.partition("[mqtt]")
        table = (broker.files("demo") / "mqtt.toml").read_text(encoding="utf-8")
        config.write_text(before + table + rest[rest.index("\n[[port]]") :], encoding="utf-8")
        gateway = talus(config)
        with node:
            until(lambda: any(json.loads(p)["level"] == 4 for p in room.payloads("alarm")))
            until(lambda: node.rows_sent == 1426)
        totals = gateway.stop()
        until(lambda: json.loads(room.payloads("status")[-1])["online"] is False)
        room.close()
    first, *_, last = (json.loads(p) for p in room.payloads("status"))
    assert (first["online"], first["bundles"]) == (True, {"slope": "demo-slope v1"})
    assert last == first | {"online": False}
    alarms = room.payloads("alarm")
    assert len(alarms) == totals["alarms"]
    assert all(
        ("replayed", "false") in m.properties.UserProperty
        for m in room.heard
        if m.topic.endswith("/alarm")
    )

    # Live messages are byte for byte what a replay of the capture gives.
    capture = tmp_path / "talus-data" / "raw.capture"
    command = [sys.executable, "-m", "edge", "replay", str(capture), "--config", str(config)]
    replayed = subprocess.run([*command, "--json"], capture_output=True, check=True)
    found = replayed.stdout.splitlines()
    assert len(found) >= 4
    assert found == alarms[: len(found)]

    secret = (tmp_path / "tls" / "gateway.key").read_bytes().splitlines()[1]
    for path in [gateway.log_path, *(tmp_path / "talus-data").rglob("*")]:
        if path.is_file():
            assert secret not in path.read_bytes(), path
