"""From the desk to a bundle that takes over, on a real gateway that is killed in the middle."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from test_gateway_remote import KEY, Desk, answers, told
from trial_parts import edited

from export.demo import make_node, write_config
from export.signing import sign_bundle

RATE = 40.0
"""Rows a second: 10 days in 36 s, so that a bundle can be sent meanwhile."""


@pytest.fixture
def desk(tmp_path, broker):
    found = Desk(tmp_path, broker.port)
    yield found
    found.close()


def config_of(tmp_path: Path, device: str, port: int) -> Path:
    path = write_config(tmp_path, device, port)
    sign_bundle(tmp_path / "bundle", KEY, 0, 5)
    text = path.read_text(encoding="utf-8")
    for key in ("snapshot", "health"):
        text = re.sub(rf"(?m)^{key}_every_s = .*$", f"{key}_every_s = 0.2", text)
    text = text.replace("allow_unsigned = true", f'keys = ["{KEY.public.text}"]')
    remote = f'[remote]\nkeys = ["{KEY.public.text}"]\ntrial_h = 24\n'
    path.write_text(f"{text}\n{remote}", encoding="utf-8")
    return path


def made(tmp_path: Path, name: str, counter: int, version: int, rate: float | None = None) -> Path:
    new = tmp_path / name
    shutil.copytree(tmp_path / "bundle", new)

    def change(values):
        values["version"], values["counter"] = version, counter
        if rate is not None:
            spec = values["forecaster"]
            spec["rate_reference"] = [rate] * len(spec["rate_reference"])

    edited(new, change)
    sign_bundle(new, KEY, 0, counter)
    return new


def standing(room, station: str = "slope") -> dict:
    found = [h["remote"].get("trial", {}).get(station, {}) for h in room.of("health")]
    return found[-1] if found else {}


def test_killed_in_mid_trial_it_goes_on_takes_over_and_the_alarm_still_comes(
    tmp_path, broker, room, desk, talus
) -> None:
    node = make_node(RATE)
    config = config_of(tmp_path, node.device, broker.port)
    gateway = talus(config)
    gateway.wait_log("broker: connected")
    loud = made(tmp_path, "loud", 7, 3, 1e-4)
    new = made(tmp_path, "new", 6, 2)
    assert told(desk.command("install", loud, "--as", "loud"))[0] == 0
    code, text = told(desk.command("commit", "slope", "loud"))
    assert (code, "is tried at slope for 24 h of readings" in text) == (0, True), text
    with node:
        room.wait(lambda: "ended" in standing(room))
        ended = standing(room)["ended"]
        assert (ended["healthy"], ended["bundle"]) == (False, "loud")
        assert "is taken back: on trial beside demo-slope v1 its scores" in ended["text"]
        assert [r["done"] for r in answers(room) if r["text"] == ended["text"]] == [False]
        assert told(desk.command("install", new, "--as", "new"))[0] == 0
        assert told(desk.command("commit", "slope", "new"))[0] == 0
        room.wait(lambda: standing(room).get("steps", 0) > 50)
        time.sleep(0.5)  # a snapshot or two
        os.kill(gateway.process.pid, signal.SIGKILL)
        gateway.process.wait(30)
        before = standing(room)["steps"]
        again = talus(config)
        room.wait(lambda: len(room.of("health")) and standing(room).get("seen", 0) > before)
        room.wait(lambda: room.of("health")[-1]["stations"]["slope"]["counter"] == 6)
        room.wait(lambda: 4 in room.levels())
    again.stop()
    reasons = [a["reason"] for a in room.of("alarm") if a["kind"] == "bundle"]
    assert [r.split(":")[0] for r in reasons] == [
        "demo-slope v3 is taken back",
        "demo-slope v2 has passed its trial beside demo-slope v1 and takes over",
        "demo-slope v2 watches from now on",
    ]
    raised = [a for a in room.of("alarm") if a["level"] == 4 and a["kind"] == "level"]
    assert {a["bundle"] for a in raised} == {"demo-slope v2"}
    assert room.of("status")[-1]["bundles"] == {"slope": "demo-slope v2"}
    index = json.loads((tmp_path / "talus-data" / "bundles" / "index.json").read_bytes())
    assert (index["armed"]["slope"]["bundle"], index["trial"]) == ("new", {})
    assert "Traceback" not in gateway.log() + again.log()
