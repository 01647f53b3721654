"""What gateways write to disk while a broker takes everything, by the kernel's own count.

Two at once: 8 nodes of 8 channels with the demo's bundle at 8 stations, and one logger of 64
channels that rules watch. Both at 1 Hz, all else by default. Bytes are those of /proc/PID/io
(write_bytes) from after the start-up on, over whole intervals between two snapshots.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bench import demo_bundle
from edge.disk_use import written_bytes
from export.demo import make_node
from export.local_broker import Mosquitto
from firmware_bridge.simulator import LinePty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firmware_bridge.simulator import PtyNode

STATIONS = 8
CHANNELS = 64
START_S = 12.0
SNAPSHOT_S = 120.0
"""The default of snapshot_every_s: what is measured holds whole intervals of it."""
# Names of their own: two of one name throw each other out of the broker, again and again.
_HEAD = """\
[gateway]
name = "{name}"
[trust]
allow_unsigned = true
[mqtt]
host = "127.0.0.1"
port = {port}
"""
_LINES = """\
[[port]]
name = "n"
device = "{device}"
protocol = "lines"
[port.lines]
delimiter = ","
column_count = {count}
time_column = 0
time_format = "epoch_ms"
record_column = 1
columns = {{ {columns} }}
"""
_PORT = '[[port]]\nname = "{name}"\ndevice = "{device}"\nprotocol = "tw1"\nclock = "node"\n'


def write_eight(folder: Path, nodes: list[PtyNode], port: int) -> Path:
    """Write the gateway.toml of eight demo slopes; all else by default."""
    text = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    station = text[text.index("\n[[station]]") :]
    parts = [_HEAD.format(name=folder.name, port=port)]
    parts += [_PORT.format(name=f"n{i}", device=node.device) for i, node in enumerate(nodes)]
    parts += [
        station.replace('name = "slope"', f'name = "slope{i}"').replace('"node"', f'"n{i}"')
        for i in range(len(nodes))
    ]
    shutil.copytree(demo_bundle(), folder / "bundle")
    return _written(folder, parts)


def write_one(folder: Path, logger: LinePty, port: int) -> Path:
    """Write the gateway.toml of one station of 64 channels, with the rules of a profile."""
    columns = ", ".join(f"{name} = {2 + i}" for i, name in enumerate(_names()))
    lines = _LINES.format(device=logger.device, count=2 + CHANNELS, columns=columns)
    parts = [_HEAD.format(name=folder.name, port=port), lines]
    parts += ['[[station]]\nname = "slope"\nstep_s = 600\n[station.decision]\nprofile = "general"']
    parts += [
        f'[[station.channel]]\nname = "{name}"\nport = "n"\nquantity = "tilt"\nunit = "mrad"'
        for name in _names()
    ]
    return _written(folder, parts)


def _written(folder: Path, parts: list[str]) -> Path:
    path = folder / "gateway.toml"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _names() -> list[str]:
    return [f"tilt_{i:02d}" for i in range(CHANNELS)]


def lines() -> Iterator[str]:
    """Give what a logger of 64 tiltmeters at rest says, with the noise of instruments."""
    dice = random.Random(5)
    level = [dice.uniform(-50, 50) for _ in range(CHANNELS)]
    for i in count():
        values = ",".join(f"{v + dice.gauss(0, 0.01):.3f}" for v in level)
        yield f"{time.time_ns() // 1_000_000},{i},{values}"


class Run:
    """One gateway in a process of its own, and what it wrote since `begin`."""

    def __init__(self, config: Path, nodes: Sequence[PtyNode | LinePty]) -> None:
        self._nodes = nodes
        self._log = config.with_name("log")
        command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self._began = (0.0, 0, 0)

    def _now(self) -> tuple[float, int, int]:
        written = written_bytes(Path(f"/proc/{self.process.pid}/io"))
        if written is None:
            sys.exit("the kernel does not count what a process writes")
        return time.monotonic(), sum(node.rows_sent for node in self._nodes), written

    def await_reading(self) -> None:
        """Wait until it is at work: what a start writes is not what is measured."""
        end_s = time.monotonic() + 60.0
        while "first reading processed" not in self._log.read_text():
            if time.monotonic() > end_s or self.process.poll() is not None:
                sys.exit("the gateway does not read:\n" + self._log.read_text()[-3000:])
            time.sleep(0.1)

    def begin(self) -> None:
        """Count from here on."""
        self._began = self._now()

    def end(self, name: str) -> tuple[float, int, int]:
        """Stop it; seconds, rows and bytes since it began."""
        took_s, rows, written = (b - a for a, b in zip(self._began, self._now(), strict=True))
        self.process.terminate()
        said = self._log.read_text
        if self.process.wait(timeout=60) or rows <= 0:
            sys.exit("the gateway failed:\n" + said()[-3000:])
        totals = json.loads(said().split("stopped: ")[1].splitlines()[0])
        print(f"{name}: {rows} rows in {took_s:.0f} s, {written} bytes written, "
              f"{totals['alarms']} alarms; {totals}")  # fmt: skip
        return took_s, int(rows), int(written)


def steady(folder: Path, snapshots: int, *, warm: bool) -> dict[str, float]:
    """Run both for so many snapshots; the figures by name. ``warm``: one snapshot goes before."""
    seconds = snapshots * SNAPSHOT_S
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder))
        rows = seconds + START_S + 60.0 + (SNAPSHOT_S if warm else 0.0)
        days = rows / 144.0  # a row a second, of ten minutes each
        nodes = [stack.enter_context(make_node(1.0, days=days)) for _ in range(STATIONS)]
        wide = stack.enter_context(LinePty(lines(), interval_s=1.0))
        for name in ("eight", "one"):
            (folder / name).mkdir()
        runs = (
            Run(write_eight(folder / "eight", nodes, broker.port), nodes),
            Run(write_one(folder / "one", wide, broker.port), [wide]),
        )
        for run in runs:
            stack.callback(run.process.kill)
        for run in runs:
            run.await_reading()
        # The first snapshot makes room in the file; the later ones are written over it.
        time.sleep(START_S + (SNAPSHOT_S if warm else 0.0))
        for run in runs:
            run.begin()
        time.sleep(seconds)
        took_s, rows, written = runs[0].end("steady, 8 nodes of 8 channels")
        _, wide_rows, wide_written = runs[1].end("steady, 1 logger of 64 channels")
    return {
        "disk_bytes_per_reading": written / rows,
        "bytes_written_per_day_64ch_1hz": written / took_s * 86_400,
        "readings_per_s": rows / took_s,
        "disk_bytes_per_row_of_64": wide_written / wide_rows,
        "disk_bytes_per_value_of_64": wide_written / wide_rows / CHANNELS,
    }
