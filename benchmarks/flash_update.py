"""Bundles sent to the gateway in the virtual machine, one after the other, while its power is cut.

Each is the demo's with another version, and no more of it than one runtime needs. They go the way
of ``talus-export command install-bundle`` and ``commit-bundle``: through the broker, in parts,
proven there by golden outputs.
"""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.bench import demo_bundle
from edge.bundle_install import MANIFEST
from edge.errors import TalusError
from export.command_send import Sender
from export.command_sign import make_command

if TYPE_CHECKING:
    from typing import Any, Self

STATION = "slope"
_WAIT_S = 20.0
_KEPT = "float16.tflite"


class Updates:
    """A desk that never stops to send the next bundle. Use as a context; `begin` and `rest`."""

    def __init__(self, folder: Path, port: int, gateway: str) -> None:
        self.committed: list[str] = []
        """Labels of bundles whose commitment the gateway has confirmed."""
        self.doing = "nothing"
        self._folder = folder
        self._port = port
        self._gateway = gateway
        self._go = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def begin(self) -> None:
        """Send from now on."""
        self._go.set()

    def rest(self) -> None:
        """Begin no other bundle."""
        self._go.clear()

    def labels(self) -> set[str]:
        """Return the labels of all bundles that may watch: the first, and all that were sent."""
        return {f"demo-slope v{number}" for number in range(1, len(self.committed) + 3)}

    def _work(self) -> None:
        while not self._end.is_set():
            if not self._go.wait(0.2):
                continue
            try:
                self._send_one()
            except (TalusError, OSError) as error:
                self.doing = f"waiting: {error}"
                self._end.wait(1.0)

    def _send_one(self) -> None:
        number = len(self.committed) + 2
        bundle, name = self._make(number), f"slope-{number}"
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        with Sender(client, f"talus/{self._gateway}", self._sign) as sender:
            sender.connect("127.0.0.1", self._port)
            self.doing = f"sending {name}"
            while not self._done(sender.install(bundle, name, _WAIT_S)):
                if self._end.is_set():
                    return
            self.doing = f"committing {name}"
            wanted = {"what": "commit_bundle", "bundle": name, "station": STATION, "now": 1}
            if self._done(sender.ask(wanted, _WAIT_S)):
                self.committed.append(f"demo-slope v{number}")
            self.doing = f"{name} is committed"
        shutil.rmtree(bundle)

    def _sign(self, values: dict[str, Any]) -> bytes:
        return make_command(values | {"gateway": self._gateway, "who": "desk"}, None, 0)

    @staticmethod
    def _done(reply: dict[str, Any] | None) -> bool:
        """Return whether it was done; raises TalusError where it was refused."""
        if reply is not None and not reply["done"]:
            raise TalusError(str(reply.get("text", reply)))
        return reply is not None

    def _make(self, number: int) -> Path:
        folder = self._folder / f"bundle-{number}"
        shutil.copytree(demo_bundle(), folder, dirs_exist_ok=True)
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for model in (manifest["forecaster"], *manifest["detectors"]):
            model["artifacts"] = [each for each in model["artifacts"] if _KEPT in each["file"]]
        needless = {".tflite", ".onnx", ".npz"}
        manifest["files"] = {
            name: sha256
            for name, sha256 in manifest["files"].items()
            if _KEPT in name or Path(name).suffix not in needless
        }
        manifest |= {"version": number, "counter": number}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        return folder

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5.0)
