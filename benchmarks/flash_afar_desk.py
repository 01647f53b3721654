"""The desk of a gateway that is reached from afar: keys, broker, who signs, commands, the room.

All of it by the commands that a person uses, each a process of its own. The broker is the reference
broker as ``talus-export broker`` writes it; the room hears by ``talus subscribe``.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from flash_card import NAME
from relay_room import Arrived

from export.local_broker import Mosquitto, free_port, mosquitto_path

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

GUEST_SEES = "10.0.2.2"
"""This machine, as the virtual one sees it."""
OTHER = "gw1"
"""A gateway whose key was made at the desk: a broker is made for one at least."""
COMMAND_S = 1800.0
_END_S = 10.0


def talus_export(*words: str | Path, at: Path | None = None) -> str:
    """Run ``talus-export``; what it prints. Raises RuntimeError with what it says."""
    done = _run("export", words, at)
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()[-1500:]
        raise RuntimeError(f"talus-export {words[0]}: {said}")
    return done.stdout


def _run(
    module: str, words: tuple[str | Path, ...], at: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], capture_output=True, text=True,
        check=False, timeout=COMMAND_S, cwd=at,
    )  # fmt: skip


class SiteBroker(Mosquitto):
    """The broker that was written for the site, run as it is."""

    def __init__(self, out: Path) -> None:
        found = mosquitto_path()
        if found is None:
            raise FileNotFoundError("mosquitto is not installed: apt install mosquitto")
        self._binary = found
        self.out = out
        self.port, self.enrol_port = free_port(), free_port()
        self._config = out / "mosquitto/mosquitto.conf"
        self._process = None
        talus_export("broker", "--out", out, "--host", GUEST_SEES, "--host", "127.0.0.1",
                     "--gateway", OTHER, "--port", str(self.port), "--user", "root")  # fmt: skip
        talus_export("enrol", "--broker", out, "--token", NAME, "--port", str(self.enrol_port))


class Ear:
    """The operations room: ``talus subscribe`` with a session that the broker keeps."""

    def __init__(self, desk: Desk) -> None:
        self.arrived: list[Arrived] = []
        room = desk.broker.out / "room"
        words = ["subscribe", "--broker", desk.address, "--ca", room / "ca.crt",
                 "--cert", room / "room.crt", "--key", room / "room.key", "--json",
                 "--client-id", "screen"]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge", *map(str, words)], stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            told = json.loads(line)
            payload = json.dumps(told["payload"]).encode()
            self.arrived.append(Arrived(time.monotonic(), told["topic"], payload))

    def of(self, kind: str, since_s: float = 0.0) -> list[dict[str, Any]]:
        """Return the messages of a kind of the gateway, that came since."""
        return [
            m.values()
            for m in list(self.arrived)
            if m.kind == kind and m.at_s > since_s and m.topic.startswith(f"talus/{NAME}/")
        ]

    def alarms(self, station: str, since_s: float = 0.0) -> list[dict[str, Any]]:
        """Return what a station was raised to, since."""
        return [a for a in self.of("alarm", since_s) if a["level"] and a["station"] == station]

    def close(self) -> None:
        """Leave."""
        _end(self._process)


class Desk:
    """Where the site's keys are. Use as a context: broker, signer and room run meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = SiteBroker(folder / "broker")
        self.address = f"127.0.0.1:{self.broker.port}"
        self.keys = {name: folder / f"{name}.key" for name in ("site", "room")}
        for path in self.keys.values():
            talus_export("keygen", "--out", path, "--no-password")
        self.ticket = self.broker.out / "enrol" / f"{NAME}.json"
        self.room: Ear
        self._signer: subprocess.Popen[str] | None = None

    def public(self, name: str) -> str:
        """Return the line of a public key, as it stands in gateway.toml."""
        lines = self.keys[name].with_name(f"{name}.pub").read_text(encoding="utf-8")
        return lines.splitlines()[-1].strip()

    def token(self) -> str:
        """Return the secret of the token."""
        return str(json.loads(self.ticket.read_bytes())["token"])

    def mqtt_table(self) -> str:
        """Return [mqtt] as it was written for a gateway of this broker."""
        path = self.broker.out / "gateways" / OTHER / "mqtt.toml"
        return path.read_text(encoding="utf-8")

    def sign_update(self, path: Path, kind: str, who: str = "site") -> None:
        """Sign a configuration or a package, by the site's key unless told otherwise."""
        talus_export("sign-update", path, "--kind", kind, "--key", self.keys[who])

    def command(
        self, *words: str | Path, wait_s: float = 120.0, signed: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Tell the gateway something, signed by the room, over TLS; gives how that ended."""
        room = self.broker.out / "room"
        key = ("--key", self.keys["room"]) if signed else ()
        return _run("export", (
            "command", "--gateway", NAME, *key, "--who", "desk",
            "--broker", self.address, "--ca", room / "ca.crt", "--cert", room / "room.crt",
            "--cert-key", room / "room.key", "--wait", f"{wait_s:.0f}", *words,
        ))  # fmt: skip

    def must(self, *words: str | Path, wait_s: float = 120.0) -> str:
        """Tell it something that it is to do; its answer. Raises RuntimeError where it does not."""
        done = self.command(*words, wait_s=wait_s)
        if done.returncode:
            raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def __enter__(self) -> Self:
        self.broker.start()
        words = ["enrol", "--broker", self.broker.out, "--serve", "--host", "127.0.0.1"]
        self._signer = subprocess.Popen(
            [sys.executable, "-m", "export", *map(str, words)], stdout=subprocess.PIPE, text=True
        )
        said = self._signer.stdout.readline() if self._signer.stdout else ""
        if "waiting" not in said:
            raise RuntimeError(f"talus-export enrol --serve: {said or 'says nothing'}")
        self.room = Ear(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.room.close()
        if self._signer is not None:
            _end(self._signer)
        self.broker.stop()


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    if process.poll() is None:
        process.kill()
        process.wait()
