"""A gateway whose readings come from the test, with bundles that are committed to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from remote_parts import KEY, Side, signed

from edge import journal
from edge.bundle_install import read_index, settle
from edge.config import load_config
from edge.gateway import Gateway
from export.signing import sign_content
from firmware_bridge.reading import Reading

STEP_MS = 600_000
TRIAL = "trial_h = 2.0"
"""12 steps, and 12 more in which its features fill up: they remember 36, but no longer trial."""
CALM = "[station.alarm]\nset_points = [1.5, 2.0, 4.0, 8.0]"
"""Its models are of no use, and would let level 1 stand."""
STEPS = 24
WARM = 4


def edited(folder: Path, change: Any) -> Path:
    """A bundle with another manifest, signed again."""
    values = json.loads((folder / "manifest.json").read_bytes())
    change(values)
    content = json.dumps(values).encode()
    (folder / "manifest.json").write_bytes(content)
    signature = sign_content(content, KEY, "test")
    (folder / "manifest.json.minisig").write_bytes(signature)
    return folder


def jumpy(values: dict[str, Any]) -> None:
    """Let its thresholds be far too low."""
    values["forecaster"]["rate_reference"] = [1e-6]


class Field:
    """One gateway over its starts."""

    def __init__(self, folder: Path, trial: str = TRIAL) -> None:
        self.side = Side(folder, trial=trial)
        path = folder / "gateway.toml"
        text = path.read_text(encoding="utf-8")
        if CALM not in text:
            path.write_text(text.replace("[remote]", f"{CALM}\n[remote]"), encoding="utf-8")
        self.data_dir = self.side.config.data_dir
        self.folder = folder
        self.sent = 0
        self.crack, self.creep = 0.0, 0.01
        self.gateway: Gateway | None = None

    def stage(self, name: str, counter: int, version: int, change: Any = None) -> None:
        """Let a bundle have come and been proven; what nobody uses goes, as ever."""
        made = signed(self.folder / f"made-{name}", counter, version=version)
        if change is not None:
            edited(made, change)
        staging = self.data_dir / "bundles" / ".staging"
        shutil.copytree(made, staging)
        settle(self.side.config, staging, name)

    def start(self) -> Gateway:
        self.side.outbox.close()
        self.gateway = Gateway(load_config(self.folder / "gateway.toml"))
        self.gateway.desk.start(self.gateway.now_ms())
        self.gateway._tell_fallback(self.gateway._armed)
        return self.gateway

    def feed(self, count: int, until: Any = None) -> None:
        """Let readings come, and the loop go round."""
        gateway = self.gateway
        assert gateway is not None
        for _ in range(count):
            self.sent += 1
            at_ms = 1_700_000_000_000 + self.sent * STEP_MS
            at_ms -= at_ms % STEP_MS
            # A slope that creeps, and a drizzle: so that nothing stands still.
            self.crack += self.creep
            values = (self.crack + 0.003 * (self.sent * 7 % 5), 0.01 * (self.sent * 3 % 4))
            reading = Reading("node", at_ms, self.sent, ("crack", "rain"), values, at_ms)
            gateway.desk.take(gateway.pipeline.receive(reading), "node", at_ms)
            self.turn()
            if until is not None and until():
                return

    def turn(self, count: int = 1) -> None:
        assert self.gateway is not None
        for _ in range(count):
            self.gateway._try(self.gateway.now_ms())

    def commit(self, name: str, station: str = "slope", **more: Any) -> dict[str, Any]:
        """As `remote` does it when the command has come."""
        assert self.gateway is not None
        return commit(self.gateway, name, station, **more)

    def stop(self, *, killed: bool = False) -> None:
        """End as somebody asked for, or as a process that dies (but with its files closed)."""
        gateway = self.gateway
        assert gateway is not None
        if not killed:
            gateway._starts.stopped()
        gateway._close()
        self.gateway = None

    def again(self, *, killed: bool = False) -> Gateway:
        self.stop(killed=killed)
        return self.start()

    def label(self, station: str = "slope") -> str:
        assert self.gateway is not None
        watch = self.gateway.pipeline.stations[station].watch
        return "none" if watch is None else watch.label

    def trial(self, station: str = "slope") -> Any:
        assert self.gateway is not None
        return self.gateway.pipeline.stations[station].trial

    def index(self) -> dict[str, Any]:
        return read_index(self.data_dir)

    def told(self, station: str = "slope") -> list[str]:
        """What alarms of kind bundle said, oldest first."""
        found = journal.newest(self.data_dir, 1000)
        return [
            a["reason"]
            for a in reversed(found)
            if a["kind"] == "bundle" and a["station"] == station
        ]

    def health(self) -> dict[str, Any]:
        assert self.gateway is not None
        return dict(self.gateway._values()["remote"])

    def audit(self) -> str:
        return (self.data_dir / "orders.log").read_text(encoding="utf-8")


def staged(tmp_path: Path) -> Field:
    """A gateway to which a newer bundle has come, not committed yet: for a fixture."""
    found = Field(tmp_path)
    found.stage("next", 6, 2)
    return found


def starts(field: Field) -> int:
    """How many starts have been counted."""
    path = field.data_dir / "bundles" / "starts.json"
    return json.loads(path.read_bytes())["starts"] if path.exists() else 0


def commit(gateway: Gateway, name: str, station: str, **more: Any) -> dict[str, Any]:
    from edge.remote_command import Command, Commit

    body = Commit(station, name, now=bool(more.get("now")))
    signed_text = b"x\n" + json.dumps({"what": "commit_bundle", "bundle": name}).encode()
    command = Command("c-1", "bluff", "commit_bundle", "ana", "", 0, "", signed_text, body)
    gateway._orders._do(command, "", gateway.now_ms())
    return replies(gateway)[-1]


def replies(gateway: Gateway) -> list[dict[str, Any]]:
    stored = gateway.desk.outbox.waiting(10_000, frozenset(), 10**9)
    return [json.loads(s.message.payload) for s in stored if s.message.topic == "talus/bluff/reply"]
