"""A gateway process on a pty, whoever made it; and what its process tree uses."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peers_gateways import environment
from peers_tally import line
from relay_parts import await_true

from export.slope import generate
from firmware_bridge.simulator import Pty

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from peers_gateways import Peer
    from peers_tally import Arrivals
    from relay_room import Arrived

START_S = 60.0
SETTLE_S = 2.0
"""After a gateway has opened its port: some connect to the broker only then."""
RESTART_S = 2.0
"""A gateway that ended by itself is started again so much later, as systemd would."""
MAX_PENDING_BYTES = 65536
"""What a logger holds back for a gateway that does not read; beyond it rows are lost."""
_DAYS = 30


def values_of(days: int = _DAYS) -> list[list[float]]:
    """Return rows of a slope that does not fail, to be played to and fro."""
    rows: list[list[float]] = generate(days, seed=7, failure_day=None).values.tolist()
    return [*rows, *rows[::-1]]


class Rig:
    """One gateway: its pty, its process, the rows written to it. Use as a context."""

    rows = values_of()

    def __init__(self, peer: Peer, folder: Path, port: int) -> None:
        self.peer = peer
        folder.mkdir(parents=True)
        self.folder = folder
        self.pty = Pty(folder / "tty")
        self.written_s: dict[int, float] = {}
        """When each row was written that somebody could hear, monotonic."""
        self.unheard = 0
        """Rows whose time came while nobody had the port open."""
        self.ends = 0
        """Times that the gateway ended by itself."""
        self._next = 0
        self._heard = False
        self._pending = b""
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._restart_s = 0.0

    def start(self) -> None:
        """Start the gateway; returns at once."""
        start = self.peer.start(self.folder, self.pty.device, self._port)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                start.command, cwd=start.folder, env=environment(start), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def await_open(self, patience_s: float = START_S, settle_s: float = SETTLE_S) -> bool:
        """Wait until it has the port open, and a while more; whether it has."""
        found = await_true(self._supervised, patience_s)
        time.sleep(settle_s)
        return found

    def _supervised(self) -> bool:
        self.supervise()
        return self.pty.listening()

    def supervise(self) -> None:
        """Start it again some time after it ended by itself."""
        if self._process is None or self._process.poll() is None:
            return
        now_s = time.monotonic()
        if not self._restart_s:
            self.ends += 1
            self._restart_s = now_s + RESTART_S
        elif now_s >= self._restart_s:
            self._restart_s = 0.0
            self.start()

    def write(self, *, anyway: bool = False) -> None:
        """Write the next row; where nobody listens it is lost to all, unless ``anyway``."""
        row = self._next
        self._next += 1
        listening = self.pty.listening()
        just_opened, self._heard = listening and not self._heard, listening
        if just_opened and not anyway:  # opening discards what came before
            self.unheard += 1
            return
        if not listening:
            self._pending = b""
            if anyway:
                self.written_s[row] = time.monotonic()
            else:
                self.unheard += 1
            return
        self.written_s[row] = time.monotonic()
        if len(self._pending) < MAX_PENDING_BYTES:
            self._pending += line(row, self.rows[row % len(self.rows)])
        self.flush()

    def flush(self, wait_s: float = 0.0) -> bool:
        """Write what was held back; whether all of it is gone."""
        if self._pending:
            self._pending = self.pty.write(self._pending, wait_s)
        return not self._pending

    def unplug(self) -> None:
        """Make the device vanish."""
        self.pty.close()
        self._pending = b""

    def plug(self) -> None:
        """Let it come back, under the same name."""
        self.pty = Pty(self.folder / "tty")

    def kill(self) -> None:
        """Kill the gateway and all it started, as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            self._restart_s = 0.0

    def came(self, arrived: Iterable[Arrived]) -> Arrivals:
        """Return what of its rows came to the subscriber."""
        head, _, tail = self.peer.topic.partition("+")
        return self.peer.read(
            (each.at_s, each.payload)
            for each in list(arrived)
            if each.topic.startswith(head) and each.topic.endswith(tail)
        )

    def use(self) -> tuple[float, float]:
        """Return CPU seconds and resident MB of its process tree so far."""
        assert self._process is not None
        return tree_use(self._process.pid)

    def said(self) -> str:
        """Return the last of what it said."""
        text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return text[-1500:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.pty.close()


def tree(pid: int) -> list[int]:
    """Return a process and all that came of it."""
    found, ahead = [], [pid]
    while ahead:
        each = ahead.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):
                ahead += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


def tree_use(pid: int) -> tuple[float, float]:
    """Return utime + stime in seconds and resident MB of a process tree."""
    ticks, pages = 0, 0
    for each in tree(pid):
        with suppress(OSError):
            stat = Path(f"/proc/{each}/stat").read_text(encoding="ascii")
            ticks += sum(int(n) for n in stat.rpartition(")")[2].split()[11:13])
            pages += int(Path(f"/proc/{each}/statm").read_text(encoding="ascii").split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6
