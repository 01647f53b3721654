"""``./scripts/demo``: a generated slope fails, and the alarm stands on the screen as MQTT gave it.

Real parts throughout: a node on a pty that speaks TW1, the gateway as a process of its own, an
MQTT broker (amqtt, embedded), a subscriber. Only the slope and its clock, which runs ahead, are
made up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.bench import demo_bundle
from export.local_broker import free_port
from export.slope import CHANNELS, STEP_MS, generate
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.simulator import Faults, PtyNode, SimulatedNode, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILURE_DAY = 10.0
DAYS = 9.9
ROWS_A_SECOND = 60.0
DEADLINE_S = 60.0
_QUANTITIES = (
    (Quantity.CRACK_WIDTH, Unit.MM), (Quantity.CRACK_WIDTH, Unit.MM),
    (Quantity.TILT, Unit.MRAD), (Quantity.TILT, Unit.MRAD),
    (Quantity.PORE_PRESSURE, Unit.KPA), (Quantity.RAINFALL, Unit.MM),
    (Quantity.SOIL_MOISTURE, Unit.M3_M3), (Quantity.TEMPERATURE, Unit.DEG_C),
)  # fmt: skip


@dataclass
class Heard:
    """What the subscriber has received."""

    alarms: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    rows: int = 0
    health: dict[str, Any] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)


def start_broker(port: int) -> threading.Thread:
    """Start amqtt in a thread of its own; returns when it listens."""
    from amqtt.broker import Broker

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    ready = threading.Event()

    async def serve() -> None:
        await Broker(config).start()
        ready.set()
        await asyncio.Event().wait()

    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not ready.wait(20):
        raise RuntimeError("the embedded broker did not start")
    return thread


def subscribe(port: int, messages: queue.SimpleQueue[tuple[str, bytes]]) -> mqtt.Client:
    """Subscribe to all of ``talus/#``; what comes is put on the queue."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="demo-operations-room")
    ready = threading.Event()
    client.on_connect = lambda c, *_: c.subscribe("talus/#", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _, __, m: messages.put((m.topic, bytes(m.payload)))
    client.connect("127.0.0.1", port)
    client.loop_start()
    if not ready.wait(20):
        raise RuntimeError("the subscriber got no answer from the broker")
    return client


def make_node(
    rate: float,
    days: float = DAYS,
    *,
    link: Path | None = None,
    faults: Faults | None = None,
    hold: bool = True,
) -> PtyNode:
    """Return the node of the slope: ``rate`` rows a second, ten minutes of slope time each."""
    slope = generate(days, seed=7, failure_day=FAILURE_DAY if days == DAYS else None)
    limit = float("inf")
    channels = [
        Channel(name, quantity, unit, -limit, limit, STEP_MS)
        for name, (quantity, unit) in zip(CHANNELS, _QUANTITIES, strict=True)
    ]
    node = SimulatedNode(describe(channels), stats_every=144)
    rows = slope.values.tolist()
    return PtyNode(
        node,
        rows,
        link=link,
        interval_s=1.0 / rate,
        step_us=STEP_MS * 1000,
        faults=faults,
        hold=hold,
    )


def write_config(folder: Path, device: str, port: int) -> Path:
    """Write the demo's gateway.toml: the pattern shipped, with this device and broker."""
    text = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    for old, new in (
        ('device = "/dev/serial/by-id/*"', f'device = "{device}"'),
        ('host = "localhost"\nport = 1883', f'host = "127.0.0.1"\nport = {port}'),
        ('clock = "arrival"', 'clock = "node"'),
        ("no_data_after_s = 7200", "no_data_after_s = 5"),
        ("telemetry_every_s = 5", "telemetry_every_s = 0.5"),
        ("health_every_s = 60", "health_every_s = 2"),
    ):
        if old not in text:
            raise RuntimeError(f"the demo's gateway.toml lacks {old!r}")
        text = text.replace(old, new)
    shutil.copytree(demo_bundle(), folder / "bundle")
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def listen(
    messages: queue.SimpleQueue[tuple[str, bytes]], heard: Heard, began_s: float, wait_s: float
) -> None:
    """Take what the subscriber received, and show alarms as they come."""
    try:
        topic, payload = messages.get(timeout=wait_s)
    except queue.Empty:
        return
    values = json.loads(payload)
    kind = topic.rsplit("/", 1)[1]
    if kind == "telemetry" and values["id"] not in heard.ids:
        heard.ids.add(values["id"])
        heard.rows += len(values["rows"])
    elif kind == "health":
        heard.health = values
    elif kind == "alarm" and values["id"] not in heard.ids:
        heard.ids.add(values["id"])
        at_s = time.monotonic() - began_s
        heard.alarms.append((at_s, values))
        show(at_s, topic, values)


def show(at_s: float, topic: str, alarm: dict[str, Any]) -> None:
    """Print one alarm with its evidence."""
    word = "NO-DATA" if alarm["no_data"] else alarm["level_name"].upper()
    bar = "#" * alarm["level"] + "." * (4 - alarm["level"])
    print(f"\n{at_s:6.1f} s  [{bar}] {word:<9} {topic}  id {alarm['id']}")
    print(f"          {alarm['reason']}")
    for e in sorted(alarm["evidence"], key=lambda e: -e["ratio"])[:4]:
        role = "" if e["armed"] else "  (shadow)"
        print(f"          {e['kind']:<12}{e['channel']:<16}{e['ratio']:6.2f} x threshold{role}")
    for f in alarm["forecasts"][2:3]:
        low, middle, high = f["values"][0], f["values"][len(f["values"]) // 2], f["values"][-1]
        hours = f["horizon_ms"] / 3.6e6
        print(f"          forecast: {f['channel']} {middle:+.2f} ({low:+.2f} .. {high:+.2f})"
              f" in the next {hours:g} h")  # fmt: skip


def summary(heard: Heard, at_s: float | None, first_s: float) -> bool:
    """Print what happened; tells whether the demo did its job."""
    accounts = heard.health.get("accounts", {})
    rejected = sum(accounts.get("rejected", {}).values())
    latency = heard.health.get("latency_us", {})
    print("\nsummary")
    print(f"  readings in         {accounts.get('readings_in', 0)}")
    print(f"  readings received   {heard.rows} over MQTT, {rejected} rejected by the gateway")
    print(f"  alarm messages      {len(heard.alarms)}")
    if at_s is not None:
        print(
            f"  first reading       {first_s:.1f} s after start-up, as the subscriber received it"
        )
        print(f"  first alarm         {at_s:.1f} s after start-up")
    p50, p99 = latency.get("50", 0), latency.get("99", 0)
    print(f"  bytes to decision   p50 {p50} us, p99 {p99} us a reading")
    print(f"  gateway memory      {heard.health.get('rss_mb', 0)} MB resident")
    return at_s is not None and at_s <= DEADLINE_S


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when the alarm came in time and every reading is accounted for."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--rate", type=float, default=ROWS_A_SECOND, help="rows a second")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="talus-demo-") as name:
        return run(Path(name), args.rate)


def run(folder: Path, rate: float) -> int:
    """Run every part; the gateway is a process, as in the field."""
    began_s = time.monotonic()
    port = free_port()
    start_broker(port)
    messages: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    client = subscribe(port, messages)
    node = make_node(rate)
    config = write_config(folder, node.device, port)
    command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
    print(f"broker on 127.0.0.1:{port}, node on {node.device}, gateway: talus run")
    print(
        f"slope time runs {rate * STEP_MS / 1000:g} times as fast: a reading is ten minutes of it"
    )
    heard = Heard()
    log = (folder / "gateway.log").open("wb")
    gateway = subprocess.Popen(command, stderr=log, stdout=log)
    first_s = 0.0
    try:
        with node:
            while not done(heard, node) and time.monotonic() - began_s < 1.5 * DEADLINE_S:
                listen(messages, heard, began_s, 0.2)
                first_s = first_s or (time.monotonic() - began_s if heard.rows else 0.0)
                if gateway.poll() is not None:
                    break
            gateway.send_signal(signal.SIGTERM)
            while gateway.poll() is None or not messages.empty():
                listen(messages, heard, began_s, 0.2)
    finally:
        gateway.kill()
        gateway.wait()
        client.disconnect()
        client.loop_stop()
        log.close()
    at_s = next((at for at, alarm in heard.alarms if alarm["level"] >= 1), None)
    if summary(heard, at_s, first_s) and accounted(heard):
        return 0
    print("\nthe demo did not do its job; the gateway said:", file=sys.stderr)
    print((folder / "gateway.log").read_text(encoding="utf-8")[-3000:], file=sys.stderr)
    return 1


def done(heard: Heard, node: PtyNode) -> bool:
    """Tell whether the highest level has come, and every row sent has gone round."""
    raised = any(alarm["level"] == 4 for _, alarm in heard.alarms)
    return raised and heard.rows >= node.rows_sent


def accounted(heard: Heard) -> bool:
    """Tell whether every reading that came in is accounted for."""
    a = heard.health.get("accounts", {})
    if not a.get("readings_in"):
        return False
    return bool(a["readings_in"] == a["published"] + sum(a["rejected"].values()) + a["waiting"])


if __name__ == "__main__":
    sys.exit(main())
