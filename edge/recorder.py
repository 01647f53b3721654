"""The capture that a gateway writes: where the disk fails it ends, and not the watch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from firmware_bridge.capture import CaptureWriter

log = logging.getLogger("talus")


class Recorder:
    """Writes a capture for as long as the disk takes it; without a path it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self.state = ""
        self._capture: CaptureWriter | None = None
        if path is not None:
            from firmware_bridge.capture import CaptureWriter

            try:
                self._capture = CaptureWriter(path)
            except OSError as error:
                self._end(error)

    def write(self, now_ms: int, source: str, data: bytes) -> None:
        """Record what a port gave; no bytes: the port was opened."""
        capture = self._capture
        if capture is not None:
            self._try(lambda: capture.write(now_ms, source, data))

    def clock_set(self, now_ms: int, step_ms: int) -> None:
        """Record that the clock of this gateway was set."""
        capture = self._capture
        if capture is not None:
            self._try(lambda: capture.clock_set(now_ms, step_ms))

    def tick(self, now_ms: int, source: str) -> None:
        """Record that the driver of a port was called because of the time."""
        capture = self._capture
        if capture is not None:
            self._try(lambda: capture.tick(now_ms, source))

    def maintained(self, now_ms: int, source: str, *, begun: bool) -> None:
        """Record that maintenance of a port began, or ended."""
        capture = self._capture
        if capture is not None:
            self._try(lambda: capture.maintained(now_ms, source, begun=begun))

    def ordered(self, now_ms: int, text: str) -> None:
        """Record what a person told this gateway to do."""
        capture = self._capture
        if capture is not None:
            self._try(lambda: capture.ordered(now_ms, text))

    def close(self) -> None:
        """Write what is left."""
        if self._capture is not None:
            self._try(self._capture.close)

    def _try(self, what: Callable[[], None]) -> None:
        try:
            what()
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        self.state = f"ended: {error}"
        log.error("capture %s", self.state)
        self._capture = None
