"""The main job on real input: five USGS stations on the Mukilteo bluff, raw lines to alarms.

Trains a bundle for each station on its first 10 days, then writes all 14 days of raw logger lines
to five ptys at an accelerated pace. A gateway of its own process reads them, converts raw counts
(CALIBRATION.md beside the data), scores and relays to a real Mosquitto; a subscriber counts what
arrives, and the picture is drawn from that alone.

  python benchmarks/mukilteo.py --data ../shared/data --png mukilteo.png --json mukilteo.json
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from figures import machine, parse, write
from paho.mqtt.enums import CallbackAPIVersion
from plot_mukilteo import draw

from export.commands.train import train_to
from export.local_broker import Mosquitto
from firmware_bridge.simulator import LinePty

SITE = Path(__file__).with_name("mukilteo.toml")
TRAIN_UNTIL = "2015-12-28T08:00:00"
"""Ten days of local time (UTC-8) from 2015-12-18."""
INTERVAL_S, QUICK_INTERVAL_S = 0.05, 0.025
PATIENCE_S = 20.0


@dataclass
class Received:
    """What the subscriber got, each message once."""

    ids: set[str] = field(default_factory=set)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    telemetry: list[dict[str, Any]] = field(default_factory=list)
    health: dict[str, Any] = field(default_factory=dict)
    rows: int = 0

    def take(self, topic: str, payload: bytes) -> None:
        """Sort one message."""
        values = json.loads(payload)
        kind = topic.rsplit("/", 1)[1]
        if kind == "health":
            self.health = values
        if kind not in ("alarm", "telemetry") or values["id"] in self.ids:
            return
        self.ids.add(values["id"])
        if kind == "alarm":
            self.alarms.append(values)
        else:
            self.telemetry.append(values)
            self.rows += len(values["rows"])


def stations() -> list[str]:
    """Return the names of the stations in the site file."""
    return [s["name"] for s in tomllib.loads(SITE.read_text(encoding="utf-8"))["station"]]


def train(data: Path, folder: Path) -> None:
    """Train a bundle for each station; each may refer to the barometer of another."""
    sources = [f"{name}={data / f'wa{name}_14d.txt'}" for name in stations()]
    for name in stations():
        began = time.monotonic()
        train_to(SITE, sources, folder / name, station=name, until=TRAIN_UNTIL, quiet=True)
        manifest = json.loads((folder / name / "manifest.json").read_bytes())
        gru = manifest["forecaster"]
        armed = [d["name"] for d in manifest["detectors"] if d["armed"]]
        verdict = "armed" if gru["armed"] else "shadow"
        took = time.monotonic() - began
        print(f"{name:<10} {took:5.1f} s  detector {armed}  GRU {verdict}: {gru['reason']}")


def configure(folder: Path, devices: dict[str, str], port: int) -> Path:
    """Write gateway.toml: the site file with these devices and this broker."""
    text = SITE.read_text(encoding="utf-8").replace("port = 1883", f"port = {port}")
    for name, device in devices.items():
        text = text.replace(f'device = "{name}"', f'device = "{device}"')
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def subscribe(port: int, inbox: queue.SimpleQueue[tuple[str, bytes]]) -> mqtt.Client:
    """Subscribe to everything; a session that persists, so that nothing is missed."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "benchmark", clean_session=False)
    ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client.on_connect = lambda c, *_: c.subscribe("talus/#", qos=1)
    client.on_subscribe = lambda *_: ready.put(True)
    client.on_message = lambda _, __, m: inbox.put((m.topic, m.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.get(timeout=10)
    return client


def run(data: Path, folder: Path, interval_s: float) -> tuple[Received, dict[str, Any], int]:
    """Run broker, ptys and gateway until every line has gone through."""
    lines = {
        name: (data / f"wa{name}_14d.txt").read_text(encoding="ascii").splitlines()
        for name in stations()
    }
    total = sum(len(each) for each in lines.values())
    inbox: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    received, log = Received(), folder / "gateway.log"
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder))
        client = subscribe(broker.port, inbox)
        stack.callback(client.loop_stop)
        stack.callback(client.disconnect)
        ptys = {name: LinePty(each, interval_s=interval_s) for name, each in lines.items()}
        devices = {name: pty.device for name, pty in ptys.items()}
        config = configure(folder, devices, broker.port)
        command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        gateway = subprocess.Popen(command, stderr=stack.enter_context(log.open("wb")))
        stack.callback(gateway.kill)
        for pty in ptys.values():
            stack.enter_context(pty)
        end = time.monotonic() + max(map(len, lines.values())) * interval_s + PATIENCE_S
        while received.rows < total and time.monotonic() < end and gateway.poll() is None:
            drain(inbox, received, 0.2)
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(timeout=PATIENCE_S)
        drain(inbox, received, 1.0)
    stopped = [line for line in log.read_text(encoding="utf-8").splitlines() if "stopped: " in line]
    if not stopped:
        sys.exit(f"the gateway did not end well:\n{log.read_text(encoding='utf-8')[-3000:]}")
    return received, json.loads(stopped[-1].split("stopped: ")[1]), total


def drain(inbox: queue.SimpleQueue[tuple[str, bytes]], received: Received, wait_s: float) -> None:
    """Take what has arrived, waiting once."""
    while True:
        try:
            received.take(*inbox.get(timeout=wait_s))
        except queue.Empty:
            return


def main() -> None:
    """Run the benchmark."""
    args = parse(__doc__, data=True)
    data = args.data / "mukilteo_usgs"
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mukilteo-") as name:
        folder = Path(name)
        train(data, folder)
        interval_s = QUICK_INTERVAL_S if args.quick else INTERVAL_S
        received, totals, written = run(data, folder, interval_s)
    rejected = sum(totals["rejected"].values())
    print(f"\nlines written {written}; gateway: {totals}")
    for alarm in received.alarms:
        when = time.strftime("%m-%d %H:%M", time.gmtime(alarm["time_ms"] / 1000))
        print(f"  {when} {alarm['station']:<10} level {alarm['level']}: {alarm['reason'][:110]}")
    rejects = {n: s["rejected_values"] for n, s in received.health.get("stations", {}).items()}
    print(f"values rejected by calibration: {rejects}")
    latency = received.health.get("latency_us", {})
    write(
        {
            "lines_written": written,
            "readings_in": totals["readings_in"],
            "readings_published": totals["published"],
            "readings_rejected": rejected,
            "rows_received": received.rows,
            "alarms_raised": totals["alarms"],
            "alarms_received": len(received.alarms),
            "latency_p50_us": latency.get("50", 0.0),
            "latency_p99_us": latency.get("99", 0.0),
            "rss_mb": received.health.get("rss_mb", 0.0),
        },
        args.json,
    )
    draw(received.telemetry, received.alarms, args.png or Path("mukilteo.png"))
    whole = totals["readings_in"] == totals["published"] + rejected == written
    if not whole or totals["alarms"] != len(received.alarms):
        sys.exit("FAILED: readings or alarms are not all accounted for")


if __name__ == "__main__":
    main()
