"""Commands published to a gateway, and its answers awaited."""

from __future__ import annotations

import json
import queue
import time
import uuid
from typing import TYPE_CHECKING, Any

from edge.bundle_install import MANIFEST
from edge.errors import TalusError
from edge.remote_command import MAX_COMMAND_BYTES
from edge.trust import SIGNATURE_FILE
from edge.update_item import SUFFIX
from export.command_sign import chunks, update_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path
    from typing import Self

    import paho.mqtt.client as mqtt

AT_ONCE = 8
"""Chunks that are on their way together: a gateway holds few."""
TRIES = 3
_PATIENCE_S = 10.0

Reply = dict[str, Any]


class Sender:
    """The way to one gateway. ``sign`` makes of values what is published. Use as a context."""

    def __init__(
        self, client: mqtt.Client, prefix: str, sign: Callable[[dict[str, Any]], bytes]
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._sign = sign
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[str] = queue.SimpleQueue()

    def connect(self, host: str, port: int) -> None:
        """Connect and hear the gateway's answers. Raises TalusError."""
        client = self._client
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *a: self._ready.put(
            f"the broker lets nobody read {self._prefix}/reply" if a[3][0].is_failure else ""
        )
        client.on_message = lambda _, __, m: (
            self._replies.put(bytes(m.payload)) if len(m.payload) <= MAX_COMMAND_BYTES else None
        )
        try:
            client.connect(host, port)
        except (OSError, ValueError) as error:
            raise TalusError(f"no connection to {host}:{port}: {error}") from error
        client.loop_start()
        try:
            why = self._ready.get(timeout=_PATIENCE_S)
        except queue.Empty:
            why = f"no answer from {host}:{port}: is it an MQTT broker?"
        if why:
            raise TalusError(why)

    def _on_connect(self, client: mqtt.Client, *args: Any) -> None:
        if args[2].is_failure:
            self._ready.put(f"refused by the broker: {args[2]}")
        else:
            client.subscribe(f"{self._prefix}/reply", qos=1)

    def ask(self, values: dict[str, Any], wait_s: float) -> Reply | None:
        """Send one command; gives its last answer, None if none came in time.

        Of a bundle that is tried the first: the last comes a day later.
        """
        identity = self._publish(values)
        end_s = time.monotonic() + wait_s
        while (reply := self._next({identity}, end_s)) is not None:
            if not reply.get("more") or values["what"] == "commit_bundle":
                return reply
            end_s = time.monotonic() + wait_s
        return None

    def _publish(self, values: dict[str, Any]) -> str:
        data = self._sign(values)
        self._client.publish(f"{self._prefix}/command", data, qos=1)
        return str(json.loads(data)["id"])

    def _next(self, ids: Container[object], end_s: float) -> Reply | None:
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                reply = json.loads(self._replies.get(timeout=left_s))
            except (queue.Empty, ValueError):
                continue
            if isinstance(reply, dict) and reply.get("id") in ids:
                return reply
        return None

    def install(self, folder: Path, bundle: str, wait_s: float) -> Reply | None:
        """Send what a gateway lacks of a bundle; gives its last answer, None if none came."""
        bundle = bundle or f"{folder.resolve().name}-{uuid.uuid4().hex[:8]}"
        names: list[str] = [MANIFEST]
        if (folder / SIGNATURE_FILE).is_file():
            names.append(SIGNATURE_FILE)
        last: Reply | None = None
        for name in names:  # these come first, in this order
            last = self._send_all(list(chunks(bundle, folder / name)), wait_s)
            if last is None or not last["done"]:
                return last
        while last is not None and last["done"] and (missing := last.get("missing")):
            some = [chunk for name in missing for chunk in chunks(bundle, _plain(folder, name))]
            last = self._send_all(some, wait_s)
        return last

    def install_update(self, kind: str, path: Path, wait_s: float) -> Reply | None:
        """Send a configuration or a package, its signature first, from where the gateway is."""
        signature = path.with_name(f"{path.name}{SUFFIX}")
        if not signature.is_file():
            raise TalusError(f"{signature} is not there: talus-export sign-update {path}")
        last = self._send_all(list(update_chunks(kind, signature)), wait_s)
        while last is not None and last["done"] and isinstance(last.get("next"), int):
            before: int = last["next"]
            rest = [each for each in update_chunks(kind, path) if each["index"] >= before]
            last = self._send_all(rest, wait_s)
            if last is not None and last.get("next", before + 1) <= before:
                raise TalusError(f"the gateway takes none of {path.name}: try again")
        return last

    def _send_all(self, wanted: list[dict[str, Any]], wait_s: float) -> Reply | None:
        """Send chunks, few at once; what is not answered is sent again."""
        waiting = [(each, TRIES) for each in reversed(wanted)]
        flying: dict[str, tuple[dict[str, Any], int]] = {}
        last: Reply | None = None
        while waiting or flying:
            while waiting and len(flying) < AT_ONCE:
                values, tries = waiting.pop()
                flying[self._publish(values)] = (values, tries - 1)
            reply = self._next(flying, time.monotonic() + wait_s)
            if reply is None:
                if any(tries <= 0 for _, tries in flying.values()):
                    return None
                waiting += flying.values()
                flying = {}
                continue
            last = reply
            if not reply["done"]:
                return reply
            if not reply.get("more"):
                del flying[reply["id"]]
        return last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _plain(folder: Path, name: object) -> Path:
    """Return the file that a gateway asks for: one of the bundle, whatever it says."""
    if not isinstance(name, str) or "/" in name or not (folder / name).is_file():
        raise TalusError(f"the gateway asks for {str(name)[:100]!r}, which is not in {folder}")
    return folder / name
