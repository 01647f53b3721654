"""A second path for tests, whose time runs as the test says."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from edge.alarm import AlarmChange
from edge.config import load_config
from edge.second_path import STATE, SecondPath
from export.demo import write_config

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
NUMBERS = ("+436641111111", "+436642222222")


class Site:
    """A second path whose time runs as the test says, as fast as its modem answers."""

    def __init__(self, tmp_path: Path, toml: str) -> None:
        self.path = write_config(tmp_path, "/dev/none", 1)
        self.path.write_text(self.path.read_text(encoding="utf-8") + toml, encoding="utf-8")
        self.saved: bytes | None = None
        self._began_s = time.monotonic()
        self._skipped_ms = 1_761_414_365_000
        self.connected = False
        self.open()

    def open(self) -> None:
        self.second = SecondPath(load_config(self.path), self.saved, self.now_ms)

    def restart(self) -> None:
        """End as a power cut does: what was saved is all that is left."""
        self.second.close()
        self.open()

    @property
    def now_ms(self) -> int:
        return self._skipped_ms + int((time.monotonic() - self._began_s) * 1000)

    def skip(self, ms: int) -> None:
        self._skipped_ms += ms

    def take(self, change: AlarmChange) -> None:
        self.second.take(change)
        self.saved = self.second.state()[STATE]  # in one transaction with the alarm

    def turn(self) -> None:
        if self.second.look(self.now_ms, self.connected):
            self.saved = self.second.state()[STATE]

    def until(self, what, patience_s: float = 30.0) -> None:
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, (self.second.values(self.now_ms), self.second.log[-5:])
            self.turn()
            time.sleep(0.001)

    def quiet(self, turns: int = 150) -> None:
        """Go round for a while in which nothing is to happen."""
        for _ in range(turns):
            self.turn()
            time.sleep(0.001)

    def alarm(self, level: int, number: int = 0, station: str = "slope", **more) -> AlarmChange:
        now_ms = self.now_ms
        change = AlarmChange(
            f"{station}-{now_ms}-{number or level}", station, now_ms, now_ms, level,
            more.pop("previous", 0), False, (), f"level rose to {level} (x): tilt of head 3.1 mrad",
            (), "v1",
        )  # fmt: skip
        return replace(change, **more)


SMS = """
[second_path.sms]
device = "{device}"
numbers = ["+436641111111"]
"""


def site_of(tmp_path: Path, modem, extra: str = "") -> Site:
    return Site(tmp_path, "\n[second_path]\n" + extra + SMS.format(device=modem.device))
