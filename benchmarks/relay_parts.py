"""What the benchmark of the relay is made of: a broker, a gateway process, a logger on a pty."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay_judge import LEVELS
from relay_room import PATIENCE_S

from export.local_broker import Mosquitto
from firmware_bridge.simulator import Pty

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_PERSISTENT = "allow_anonymous true\npersistence true\npersistence_location {0}/\nuser root"
TW1_PORT = 'protocol = "tw1"\nclock = "node"'
LINES_PORT = """protocol = "lines"
max_skew_s = 0
[port.lines]
delimiter = ","
column_count = 4
time_column = 0
time_format = "epoch_ms"
record_column = 1
columns = { hot = 2, load = 3 }"""


def write_config(
    folder: Path,
    *,
    name: str,
    device: str,
    port: int,
    stations: dict[str, str],
    protocol: str = LINES_PORT,
    gateway: str = "telemetry_every_s = 0.25",
    keepalive_s: int = 15,
    step_s: float = 0.02,
) -> Path:
    """Write a gateway.toml; ``stations``: the channel whose value is the level, for each.

    The level follows at once, up and down: every change of the value is an alarm.
    """
    text = [
        (
            f'[gateway]\nname = "{name}"\ndata_dir = "data"\n{gateway}\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nkeepalive_s = {keepalive_s}\n'
            f'[[port]]\nname = "node"\ndevice = "{device}"\n{protocol}'
        )
    ]
    for station, hot in stations.items():
        text.append(
            f'[[station]]\nname = "{station}"\nstep_s = {step_s}\nno_data_after_s = 86400\n'
            f'decision = {{ profile = "none", latch_level = 5 }}'
        )
        text += [
            f'[[station.channel]]\nname = "{channel}"\nport = "node"\nunit = "raw"'
            for channel in (hot, "load")
        ]
        text += [
            f'[[station.rule]]\nname = "level {level}"\nlevel = {level}\nvalid_s = 0\n'
            f'[[station.rule.when]]\nevidence = "value"\nabove = {level}\nchannels = ["{hot}"]'
            for level in range(1, LEVELS)
        ]
    path = folder / "gateway.toml"
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


class Broker(Mosquitto):
    """A Mosquitto that keeps sessions in a file; ``save`` writes it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, settings=_PERSISTENT.format(folder))

    def save(self) -> None:
        """Write the sessions down: by itself it does so twice an hour."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.3)


class Gateway:
    """``talus run`` as a process, which can be killed and started again."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.log_path = config.with_name("gateway.log")
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        """Start it; returns at once."""
        command = [sys.executable, "-m", "edge", "run", "--config", str(self.config)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self.starts += 1

    def kill(self) -> None:
        """Kill it as a power cut would, but for the disk."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        """Return what it has said in all its lives."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> dict[str, Any]:
        """End it in order; returns the totals it prints at its end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE_S)
        if code:
            raise RuntimeError(f"the gateway ended with {code}:\n{self.log()[-3000:]}")
        last = [line for line in self.log().splitlines() if "stopped: " in line][-1]
        return dict(json.loads(last.split("stopped: ")[1]))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if kind is not None:
            print(f"{self.config.parent.name} said last:\n{self.log()[-1500:]}", file=sys.stderr)


def await_true(what: Callable[[], object], patience_s: float, every_s: float = 0.05) -> bool:
    """Wait until something is true; whether it came to that."""
    end_s = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > end_s:
            return False
        time.sleep(every_s)
    return True


class Logger:
    """A logger on a pty, written by the caller: a line ``time_ms,row,hot,load`` each."""

    def __init__(self, step_ms: int = 20) -> None:
        self.pty = Pty()
        self.sent_s: list[float] = []
        """When each row was written, monotonic."""
        self._step_ms = step_ms
        self._began_ms = int(time.time() * 1000) // step_ms * step_ms

    def await_listener(self) -> None:
        """Wait until the gateway has the port open."""
        if not await_true(self.pty.listening, PATIENCE_S):
            raise RuntimeError("the gateway does not open its port")
        time.sleep(0.2)

    def write(self, hot: float, load: float = 0.0) -> int:
        """Write the next row; returns its number."""
        row = len(self.sent_s)
        data = f"{self._began_ms + row * self._step_ms},{row},{hot},{load}\r\n".encode()
        self.sent_s.append(time.monotonic())
        end_s = time.monotonic() + PATIENCE_S
        while data:
            data = self.pty.write(data, 0.1)
            if data and time.monotonic() > end_s:
                raise RuntimeError("the gateway does not read its port")
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pty.close()


def process_use(pid: int) -> tuple[float, int, int]:
    """Return resident MB, open files and threads of a process."""
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
    threads = len(list((folder / "task").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(list((folder / "fd").iterdir())), threads
