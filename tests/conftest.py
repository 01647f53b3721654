"""Real parts for the tests: a broker, a subscriber, and a gateway in a process of its own."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
import pytest
from hypothesis import HealthCheck, settings
from paho.mqtt.enums import CallbackAPIVersion

import edge
from export.local_broker import Mosquitto, mosquitto_path

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 120.0
# A shell that starts the tests in the background has them ignore Ctrl-C, and so all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is no failure: this finds what hangs, not what waits for its turn.
settings.register_profile(
    "talus", deadline=timedelta(seconds=30), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("talus")
_LONGEST = (
    "test_export_models", "test_export_train", "test_demo_bundle", "test_export_quantize",
    "test_export_calibrate_command", "test_export_precision", "test_users_history",
)  # fmt: skip
"""The files that compute most, by how long they take; those that wait for brokers come after."""
_TOOLS = {
    "cc": "C counterpart of TW1",
    "clang": "its fuzzing, and it under a second compiler",
    "arm-none-eabi-gcc": "its size, the node for Cortex-M3",
    "qemu-system-arm": "that node against the gateway's port",
    "avr-gcc": "the sketch for Arduino",
    "mcopy": "boot partitions of cards (mtools)",
    "mkfs.vfat": "images and cards (dosfstools)",
    "debugfs": "what images hold (e2fsprogs)",
    "promtool": "the metrics by Prometheus' own parser",
}


def pytest_report_header() -> list[str]:
    lines = [f"edge under test: {Path(edge.__file__).parent}"]
    if mosquitto_path() is None:
        lines.append("NOT TESTED: no mosquitto here (apt install mosquitto)")
    if shutil.which("minisign") is None:
        lines.append("NOT TESTED: no minisign here (apt install minisign); fixed vectors are")
    for tool, what in _TOOLS.items():
        if shutil.which(tool) is None:
            lines.append(f"NOT TESTED: no {tool} here: {what}")
    for module in ("pyubx2", "pynmeagps", "smpclient"):
        if find_spec(module) is None:
            lines += [f"NOT TESTED: no {module} here (pip install 'talus-edge[gnss,mcuboot]')"]
    return lines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that at the end no process is at one alone."""
    rank = {name: i for i, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


class _ProcessesOfItsOwn:
    """Refuses tflite-runtime here: beside TensorFlow, before it or after, it ends the process."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "tflite_runtime.interpreter":
            msg = "a test loads tflite-runtime in a process of its own: it dies beside TensorFlow"
            raise ImportError(msg)


sys.meta_path.insert(0, _ProcessesOfItsOwn())  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def runtime_directory() -> Iterator[None]:
    """Give gateways a folder for what outlives a kill, as systemd does, that goes in the end."""
    shared = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="talus-test-", dir=shared if shared.is_dir() else None)
    os.environ["RUNTIME_DIRECTORY"] = folder
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def wheel_under_test() -> None:
    """With TALUS_WHEEL set, what is imported is the wheel and not the checkout."""
    wheel = os.environ.get("TALUS_WHEEL")
    if wheel:
        assert Path(edge.__file__).is_relative_to(wheel)


def _values(payload: bytes) -> dict[str, Any]:
    """What a message says; of one that is no JSON object (CAP, a withdrawal) its text."""
    try:
        values = json.loads(payload)
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {"text": payload.decode("utf-8", "replace")}


class Room:
    """The operations room: a subscriber whose session survives the broker."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, dict[str, Any], bool]] = []
        self.raw: dict[str, bytes] = {}
        self._inbox: queue.SimpleQueue[mqtt.MQTTMessage] = queue.SimpleQueue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "room", clean_session=False)
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._client.on_connect = lambda c, *_: c.subscribe("talus/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.on_message = lambda _, __, message: self._inbox.put(message)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def wait(self, what: Any, patience_s: float = PATIENCE_S) -> None:
        """Take messages until ``what()`` is true."""
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, self._so_far()
            try:
                message = self._inbox.get(timeout=0.1)
            except queue.Empty:
                continue
            values = _values(message.payload)
            self.messages.append((message.topic, values, bool(message.retain)))
            if "id" in values:
                self.raw[message.topic + values["id"]] = message.payload

    def _so_far(self) -> str:
        """What has come, for a test that waited in vain."""
        health = (self.of("health") or [{}])[-1]
        kinds = [(each["kind"], each["level"], each["silent"]) for each in self.of("alarm")]
        return (
            f"not what is awaited: {len(self.messages)} messages, {self.rows()} rows, "
            f"alarms {kinds}, last health {health}"
        )

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Messages of one kind, each id once, in the order of arrival."""
        found: dict[str, dict[str, Any]] = {}
        for topic, values, _ in self.messages:
            if topic.rsplit("/", 1)[1] == kind:
                found.setdefault(values.get("id", f"no id {len(found)}"), values)
        return list(found.values())

    def rows(self) -> int:
        return sum(len(message["rows"]) for message in self.of("telemetry"))

    def levels(self) -> list[int]:
        return [alarm["level"] for alarm in self.of("alarm") if not alarm["silent"]]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Talus:
    """``talus run`` as a process."""

    def __init__(self, config: Path) -> None:
        self.log_path = config.with_name("gateway.log")
        self._log = self.log_path.open("ab")
        command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=self._log)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_log(self, text: str, times: int = 1) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.log().count(text) < times:
            assert time.monotonic() < end, f"no {text!r} in:\n{self.log()[-3000:]}"
            assert self.process.poll() is None, self.log()[-3000:]
            time.sleep(0.02)

    def stop(self) -> dict[str, Any]:
        """SIGTERM; returns the totals it prints at its end."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=PATIENCE_S) == 0, self.log()[-3000:]
        last = [line for line in self.log().splitlines() if "stopped: " in line][-1]
        return dict(json.loads(last.split("stopped: ")[1]))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.fixture
def broker(tmp_path):
    if mosquitto_path() is None:
        pytest.skip("NOT TESTED: mosquitto is not installed")
    folder = tmp_path / "broker"
    folder.mkdir()
    # Sessions survive it, as at any serious broker: what is published while a subscriber is away
    # waits for it.
    folder.chmod(0o777)
    kept = f"allow_anonymous true\npersistence true\npersistence_location {folder}/\nuser root"
    with Mosquitto(folder, settings=kept) as running:
        yield running


@pytest.fixture
def room(broker):
    subscriber = Room(broker.port)
    yield subscriber
    subscriber.close()


@pytest.fixture
def talus():
    """A function that starts gateways; those still running at the end are killed."""
    started: list[Talus] = []

    def start(config: Path) -> Talus:
        started.append(Talus(config))
        return started[-1]

    yield start
    for each in started:
        each.kill()
