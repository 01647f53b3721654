"""Real parts for the tests of the relay: the reference broker, listeners, links that fail."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.message import ALARM, TELEMETRY, Message
from edge.outbox import Outbox
from edge.parse_mqtt import MqttConfig
from edge.relay import Relay
from export.local_broker import Mosquitto, free_port, mosquitto_path

PATIENCE_S = 60.0


def until(what: Callable[[], Any], *relays: Relay, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < end, [(each.health(), each.log) for each in relays]
        for relay in relays:
            relay.pump()
        time.sleep(0.001)


def alarm(n: int, gateway: str = "gw1") -> Message:
    payload = b'{"format":1,"id":"s-%d-1","n":%d}' % (n, n)
    return Message(f"talus/{gateway}/s/alarm", payload, ALARM, id=f"s-{n}-1")


def telemetry(n: int, gateway: str = "gw1", size: int = 0) -> Message:
    payload = b'{"format":1,"id":"t-%d","n":%d,"fill":"%s"}' % (n, n, b"x" * size)
    return Message(f"talus/{gateway}/s/telemetry", payload, TELEMETRY, rows=2)


def config(port: int, **more: Any) -> MqttConfig:
    fields = {"topic": "talus", "keepalive_s": 60, "username": "", "password_file": ""}
    fields |= {"ca_file": "", "cert_file": "", "key_file": ""} | more
    return MqttConfig(fields.pop("host", "127.0.0.1"), port, **fields)


class Gateways:
    """Relays, each with an outbox of its own; stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._relays: list[tuple[Relay, Outbox]] = []

    def start(
        self, wanted: MqttConfig, files: Path | None = None, name: str = "gw1"
    ) -> tuple[Relay, Outbox]:
        outbox = Outbox(self._folder / f"outbox-{len(self._relays)}", 10**9)
        relay = Relay(wanted, files or self._folder, name, outbox, {"s": "demo v1"})
        self._relays.append((relay, outbox))
        relay.start()
        return relay, outbox

    def close(self) -> None:
        for relay, outbox in self._relays:
            relay.stop(0.2)
            outbox.close()


class ReferenceBroker(Mosquitto):
    """What ``talus-export broker`` has made, run as it is."""

    def __init__(self, out: Path, gateways: tuple[str, ...] = ("gw1", "gw2")) -> None:
        found = mosquitto_path()
        assert found is not None
        self._binary = found
        self.out = out
        self.port = free_port()
        self._config = out / "mosquitto" / "mosquitto.conf"
        self._process = None
        words = ["--out", str(out), "--host", "127.0.0.1", "--host", "localhost", "--user", "root"]
        for gateway in gateways:
            words += ["--gateway", gateway]
        talus_export("broker", *words, "--port", str(self.port))

    def config(self, gateway: str = "gw1", **more: Any) -> MqttConfig:
        """The [mqtt] table of a gateway, read from the snippet that was written for it."""
        import tomllib

        from edge.fields import Mistakes, Table
        from edge.parse_mqtt import parse_mqtt

        folder = self.out / "gateways" / gateway
        tls = folder / "tls"
        tls.mkdir(exist_ok=True)
        for name in ("ca.crt", "gateway.crt", "gateway.key"):
            with contextlib.suppress(FileNotFoundError):
                (folder / name).rename(tls / name)
        table = tomllib.loads((folder / "mqtt.toml").read_text(encoding="utf-8"))["mqtt"]
        mistakes = Mistakes("mqtt.toml")
        parsed = parse_mqtt(Table(table | more, "mqtt", mistakes))
        mistakes.raise_if_any()
        return parsed

    def files(self, gateway: str = "gw1") -> Path:
        return self.out / "gateways" / gateway

    def hear(self, who: str = "room", topic: str = "talus/#", **more: Any) -> Hearer:
        folder = self.out / "room" if who == "room" else self.out / "gateways" / who / "tls"
        name = "room" if who == "room" else "gateway"
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        return Hearer(self.port, context=context, topic=topic, name=f"{who}-ear", **more)


def talus_export(*words: str) -> str:
    command = [sys.executable, "-m", "export", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Hearer:
    """A subscriber that keeps what comes, in order; MQTT 5 unless told otherwise."""

    def __init__(
        self,
        port: int,
        *,
        context: ssl.SSLContext | None = None,
        topic: str = "talus/#",
        name: str = "ear",
        protocol: int = mqtt.MQTTv5,
    ) -> None:
        self.heard: list[mqtt.MQTTMessage] = []
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=protocol)
        if context is not None:
            self.client.tls_set_context(context)
        self.client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: ready.put(True)
        self.client.on_message = lambda _, __, m: self.heard.append(m)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def payloads(self, kind: str) -> list[bytes]:
        return [m.payload for m in list(self.heard) if m.topic.endswith("/" + kind)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Session:
    """One connection through a Proxy."""

    began_s: float
    ended_s: float = float("inf")
    client: socket.socket = field(repr=False, default=None)  # type: ignore[assignment]


class Proxy:
    """Passes bytes on to a broker. ``swallow``: takes all, passes on nothing, and says nothing."""

    def __init__(self, to_port: int) -> None:
        self.sessions: list[Session] = []
        self.swallow = False
        self.refuse = False
        self._to_port = to_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            session = Session(time.monotonic(), client=client)
            self.sessions.append(session)
            try:
                broker = socket.create_connection(("127.0.0.1", self._to_port))
            except OSError:
                self._end(session)
                continue
            for a, b in ((client, broker), (broker, client)):
                threading.Thread(target=self._pass, args=(a, b, session), daemon=True).start()

    def _pass(self, a: socket.socket, b: socket.socket, session: Session) -> None:
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                if not self.swallow:
                    b.sendall(data)
        for each in (a, b):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._end(session)

    def _end(self, session: Session) -> None:
        session.ended_s = min(session.ended_s, time.monotonic())
        with contextlib.suppress(OSError):
            session.client.shutdown(socket.SHUT_RDWR)

    def open_at(self, time_s: float) -> int:
        return sum(s.began_s <= time_s < s.ended_s for s in self.sessions)

    def cut(self) -> None:
        for session in self.sessions:
            self._end(session)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()


class Peer:
    """A server that does to each connection what a test says; it is no broker."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self._act = act
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._run, args=(client,), daemon=True).start()

    def _run(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._act(client)
        client.close()
        self._open.remove(client)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
