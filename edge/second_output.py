"""A siren or relay that is switched by a program: run without a shell, for a limited time."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.parse_second_path import OutputConfig
    from edge.second_text import Notice

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_GRACE_MS = 2_000
"""From being asked to end to being ended."""
_CLOSE_S = 0.5


class Output:
    """One output. It runs one program at a time; `look` gives how it ended."""

    def __init__(self, config: OutputConfig) -> None:
        self.config = config
        self.running: str | None = None
        """The id of the alarm it runs for."""
        self._process: subprocess.Popen[bytes] | None = None
        self._end_ms = 0
        self._asked = False

    def start(self, notice: Notice, now_ms: int) -> str:
        """Start the program for an alarm; gives why that failed, "" if it did not."""
        wrong = wrong_program(Path(self.config.command[0]))
        if wrong:
            return wrong
        try:
            # A session of its own: no signal to the gateway hits it, and all of it can be ended.
            self._process = subprocess.Popen(
                self.config.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_environment(notice),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"cannot be started: {getattr(error, 'strerror', '') or error}"
        self.running = notice.id
        self._end_ms = now_ms + self.config.timeout_ms
        self._asked = False
        return ""

    def look(self, now_ms: int) -> str | None:
        """Say how the program ended: "" well, None where it still runs."""
        process = self._process
        if process is None:
            return None
        code = process.poll()
        if code is None:
            if now_ms >= self._end_ms:
                self._stop(now_ms)
            return None
        self._process = self.running = None
        if self._asked:
            seconds = self.config.timeout_ms / 1000
            self._signal(process.pid, signal.SIGKILL)  # what it left behind
            return f"ended after {seconds:g} s, its time"
        if code < 0:
            return f"killed by signal {-code}"
        return f"exit code {code}" if code else ""

    def _stop(self, now_ms: int) -> None:
        assert self._process is not None
        self._signal(self._process.pid, signal.SIGKILL if self._asked else signal.SIGTERM)
        self._asked = True
        self._end_ms = now_ms + _GRACE_MS

    @staticmethod
    def _signal(group: int, what: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, what)

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self._end_ms += step_ms

    def close(self) -> None:
        """End a program that still runs: nobody would watch its time. A new start runs it anew."""
        process = self._process
        if process is not None and process.poll() is None:
            self._signal(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLOSE_S)
            self._signal(process.pid, signal.SIGKILL)
            process.wait()
        self._process = self.running = None


def wrong_program(program: Path) -> str:
    """Say why a program is not run."""
    try:
        mode = program.stat().st_mode
    except OSError as error:
        return f"{program}: {error.strerror}"
    if not stat.S_ISREG(mode) or not os.access(program, os.X_OK):
        return f"{program}: not a program that may be run"
    if mode & stat.S_IWOTH:
        return f"{program}: everybody can write it; chmod o-w"
    return ""


def _environment(notice: Notice) -> dict[str, str]:
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "TALUS_ID": notice.id,
        "TALUS_STATION": notice.station,
        "TALUS_LEVEL": str(notice.level),
        "TALUS_KIND": notice.kind,
        "TALUS_DRILL": "1" if notice.kind == "drill" else "0",
        "TALUS_TIME_MS": str(notice.time_ms),
    }
