"""The demo does its job, and says so with its exit code."""

from __future__ import annotations

import subprocess
import sys


def test_the_demo_shows_an_alarm_within_a_minute_and_ends_well() -> None:
    command = [sys.executable, "-m", "export.demo", "--rate", "200"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[####] ALARM" in done.stdout
    assert "talus/demo/slope/alarm" in done.stdout
    assert "x threshold" in done.stdout
    for line in ("readings in         1426", "readings received   1426 over MQTT, 0 rejected"):
        assert line in done.stdout
