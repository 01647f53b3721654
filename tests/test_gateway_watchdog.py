"""`talus run` under a supervisor: ready, petted while all goes on, and no longer if it does not."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from export.demo import make_node, write_config
from export.local_broker import free_port
from firmware_bridge.simulator import PtyNode

PATIENCE_S = 60.0
WATCHDOG_S = 2.0


class Supervised:
    """A gateway, and the socket that it speaks to."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.words: list[tuple[float, str]] = []
        self._log: list[bytes] = []
        name = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name)
        environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge", "run", "--config", str(config)],
            env=os.environ | environ, stderr=subprocess.PIPE,
        )  # fmt: skip
        for work in (self._hear, self._read):
            threading.Thread(target=work, daemon=True).start()

    def _hear(self) -> None:
        while True:
            try:
                words = self._socket.recv(4096).decode()
            except OSError:
                return
            self.words += [(time.monotonic(), word) for word in words.split("\n")]

    def _read(self) -> None:
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self._log.append(line)

    def log(self) -> str:
        return b"".join(self._log).decode(errors="replace")

    def times(self, word: str) -> list[float]:
        return [at_s for at_s, said in list(self.words) if said == word]

    def wait(self, what) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < end, f"{self.words[-5:]}\n{self.log()[-3000:]}"
            assert self.process.poll() is None, self.log()[-3000:]
            time.sleep(0.02)

    def petted_for(self, seconds: float) -> None:
        """Wait so long; nowhere in it was the watchdog near to biting."""
        began_s = time.monotonic()
        self.wait(lambda: time.monotonic() - began_s > seconds)
        times = [began_s, *(t for t in self.times("WATCHDOG=1") if t > began_s), time.monotonic()]
        assert max(b - a for a, b in zip(times, times[1:], strict=False)) < WATCHDOG_S, times

    def bitten(self) -> None:
        """Wait until the watchdog would have bitten: nothing was said for so long."""
        self.wait(lambda: time.monotonic() - self.times("WATCHDOG=1")[-1] > 1.5 * WATCHDOG_S)

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def supervised(tmp_path):
    """A gateway whose node still sends; there is no broker, which holds nothing up."""
    started = []

    def start(node: PtyNode) -> Supervised:
        config = write_config(tmp_path, node.device, free_port())
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("snapshot_every_s = 60", "snapshot_every_s = 0.2"))
        started.append(Supervised(config, tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_ready_then_petted_then_leaving(supervised) -> None:
    with make_node(100.0) as node:
        gateway = supervised(node)
        gateway.wait(lambda: gateway.times("READY=1"))
        gateway.petted_for(1.5 * WATCHDOG_S)
        gateway.wait(lambda: any("1 of 1 ports open" in word for _, word in list(gateway.words)))
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(timeout=PATIENCE_S) == 0, gateway.log()
    assert gateway.words[0][1] == "READY=1"
    assert len(gateway.times("STOPPING=1")) == 1
    assert len(gateway.times("READY=1")) == 1


def test_a_sensor_that_is_unplugged_or_silent_is_no_hang(supervised) -> None:
    with make_node(100.0) as node:
        gateway = supervised(node)
        gateway.wait(lambda: node.rows_sent > 50 and gateway.times("WATCHDOG=1"))
    gateway.wait(lambda: "vanished" in gateway.log())
    gateway.petted_for(2 * WATCHDOG_S)


def test_a_loop_that_hangs_pets_nobody_and_leaves_where_it_hung(supervised) -> None:
    with make_node(100.0) as node:
        gateway = supervised(node)
        gateway.wait(lambda: gateway.times("WATCHDOG=1"))
        gateway.process.send_signal(signal.SIGSTOP)
        gateway.bitten()
        gateway.process.send_signal(signal.SIGABRT)  # as systemd does
        gateway.process.send_signal(signal.SIGCONT)
        assert gateway.process.wait(timeout=PATIENCE_S) == -signal.SIGABRT
    deadline = time.monotonic() + PATIENCE_S
    while "gateway.py" not in gateway.log():
        assert time.monotonic() < deadline, gateway.log()
        time.sleep(0.02)
    assert "Fatal Python error: Aborted" in gateway.log()


def test_an_outbox_that_cannot_write_is_left_to_bite_and_forgiven_when_it_can(supervised) -> None:
    with make_node(30.0) as node:
        gateway = supervised(node)
        gateway.wait(lambda: gateway.times("WATCHDOG=1") and node.rows_sent > 5)
        pid, whole = gateway.process.pid, resource.RLIM_INFINITY
        # The disk is neither full nor read-only: no file of this process may grow, and that is all.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, whole))
        gateway.bitten()
        assert "outbox: no progress" in gateway.log()
        assert any("no progress: outbox" in word for _, word in list(gateway.words))
        before = len(gateway.times("WATCHDOG=1"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (whole, whole))
        gateway.wait(lambda: len(gateway.times("WATCHDOG=1")) > before + 2)
        assert "all parts go on again" in gateway.log()
