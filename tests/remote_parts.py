"""A gateway's side of commands over MQTT without its loop: real outbox and files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tiny_bundle

from edge.bundle import Bundle
from edge.bundles import open_bundles
from edge.config import load_config
from edge.outbox import Outbox
from edge.parse_remote import RemoteConfig
from edge.remote import Remote
from edge.remote_auth import WINDOW_MS, load_nonces
from export.command_sign import chunks, make_command
from export.secret_key import SecretKey, make_key
from export.signing import sign_bundle

KEY, OTHER = make_key(), make_key()
PATIENCE_S = 60.0


class Wire:
    """What is published to the gateway, as its relay gives it."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.waiting: list[tuple[str, bytes]] = []

    def subscribe(self, topic: str) -> None:
        self.topics.append(topic)

    def inbox(self) -> list[tuple[str, bytes]]:
        found, self.waiting = self.waiting, []
        return found


class Side:
    """A gateway "bluff" with one station "slope" and a signed bundle of counter 5."""

    def __init__(
        self, folder: Path, remote: str = "", *, trust: str = "", capture: str = "",
        trial: str = "trial_h = 0",
    ) -> None:  # fmt: skip
        self.folder = folder
        if not (folder / "bundle").exists():
            signed(folder / "bundle", 5)
            path = tiny_bundle.gateway_toml(folder, trust or f'keys = ["{KEY.public.text}"]')
            text = path.read_text(encoding="utf-8")
            if capture:
                text = text.replace("[trust]", f'capture = "{capture}"\n[trust]')
            remote = remote or f'keys = ["{KEY.public.text}"]'
            path.write_text(f"{text}\n[remote]\n{remote}\n{trial}\n", encoding="utf-8")
        self.config = load_config(folder / "gateway.toml")
        self.outbox = Outbox(self.config.data_dir, 1_000_000)
        self.wire = Wire()
        self.remote = Remote(self.config, self.wire, self.outbox)
        self.ahead_ms = 1
        self.remote.look(self.now_ms())  # what was signed before is not obeyed
        self.ahead_ms = 2000

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def send(self, data: bytes) -> list[Any]:
        """Let the gateway take one message; gives the orders that it found."""
        self.wire.waiting.append((self.wire.topics[0], data))
        orders = []
        end = time.monotonic() + PATIENCE_S
        while self.wire.waiting or self.remote._waiting:
            assert time.monotonic() < end
            orders += self.remote.look(self.now_ms())
            time.sleep(0.001)
        return orders

    def published(self) -> list[tuple[str, dict[str, Any]]]:
        """What waits in the outbox."""
        stored = self.outbox.waiting(10_000, frozenset(), 10**9)
        return [(s.message.topic, json.loads(s.message.payload)) for s in stored]

    def replies(self) -> list[dict[str, Any]]:
        return [values for topic, values in self.published() if topic == "talus/bluff/reply"]

    def say(
        self, key: SecretKey | None = KEY, gateway: str = "bluff", **values: Any
    ) -> dict[str, Any]:
        """Send a command and give the answer to it."""
        data = make_command({"gateway": gateway, "who": "ana", **values}, key, self.now_ms())
        self.send(data)
        mine = [r for r in self.replies() if r["id"] == json.loads(data)["id"]]
        return mine[-1]

    def until(self, what: Any) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < end, self.replies()[-3:]
            self.remote.look(self.now_ms())
            time.sleep(0.01)

    def install(self, folder: Path, name: str = "next") -> dict[str, Any]:
        """Send a whole bundle; gives the last answer."""
        reply: dict[str, Any] = {}
        for values in bundle_chunks(folder, name):
            reply = self.say(**values)
            if not reply["done"]:
                return reply
        identity = reply["id"]
        self.until(lambda: [r for r in self.replies() if r["id"] == identity and "more" not in r])
        return [r for r in self.replies() if r["id"] == identity][-1]

    def audit(self) -> list[str]:
        return (self.config.data_dir / "orders.log").read_text(encoding="utf-8").splitlines()

    def again(self) -> Side:
        """The same gateway after a restart."""
        self.outbox.close()
        return Side(self.folder)


def signed(folder: Path, counter: int, name: str = "bluff", version: int = 1) -> Path:
    tiny_bundle.make(folder, name, version)
    sign_bundle(folder, KEY, 0, counter)
    return folder


def bundle_chunks(folder: Path, name: str = "next") -> Iterator[dict[str, Any]]:
    files = sorted(folder.iterdir(), key=lambda p: (not p.name.startswith("manifest"), p.name))
    for path in files:
        yield from chunks(name, path)


def watched(side: Side, station: str = "slope") -> str:
    """What the next start would arm."""
    found = open_bundles(load_config(side.folder / "gateway.toml"))[station]
    return found.manifest.label if isinstance(found, Bundle) else found


def staged(side: Side) -> list[str]:
    folder = side.config.data_dir / "bundles"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.exists() else []


NOW_MS = 1_700_000_000_000
SAMPLES = {
    "acknowledge": {"station": "slope", "why": "seen"},
    "shelve": {"station": "slope", "rule": "models", "until_ms": NOW_MS, "why": "digging"},
    "drill": {"station": "slope", "level": 2},
    "rezero": {"station": "slope", "channel": "crack"},
    "health_now": {},
    "telemetry_rate": {"every_ms": 1000, "until_ms": NOW_MS},
    "backfill": {"from_ms": 0, "to_ms": 1000},
    "install_bundle": {"bundle": "b", "name": "a.onnx", "index": 0, "total": 1,
                       "sha256": "a" * 64, "data": "AAAA"},
    "commit_bundle": {"station": "slope", "bundle": "b"},
    "install_config": {"name": "gateway.toml", "index": 0, "total": 1, "sha256": "a" * 64,
                       "data": "AAAA"},
    "install_package": {"name": "a.deb", "index": 0, "total": 1, "sha256": "a" * 64,
                        "data": "AAAA"},
    "commit_update": {"update": "config"},
}  # fmt: skip
KEYS = RemoteConfig((KEY.public,))


def values(what: str = "drill", **changed):
    return {"id": "one", "gateway": "bluff", "who": "ana", "what": what} | SAMPLES[what] | changed


def fresh(stored=None):
    return load_nonces((stored or {}).get, NOW_MS - 10 * WINDOW_MS)
