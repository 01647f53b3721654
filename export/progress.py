"""Progress on a terminal: a bar a stage, and notes that stay."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bars:
    """tqdm bars on standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stopped = False
        self._bar: Any = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many parts."""
        self.close()
        # A log is no terminal: there a line a stage, not a bar redrawn a hundred times.
        bars = sys.stderr.isatty() and not self._quiet
        if not bars:
            self.note(f"{name} ...")
        self._bar = tqdm(total=total, desc=f"{name:<18}", disable=not bars, leave=True)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Stop at Ctrl-C; where TensorFlow swallows it (in a ``__del__``), at the next part."""
        before = signal.signal(signal.SIGINT, self._stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _stop(self, number: int, frame: object) -> None:
        self._stopped = True
        raise KeyboardInterrupt

    def step(self, text: str) -> None:
        """Finish one part. Raises KeyboardInterrupt when that was asked for."""
        if self._stopped:
            raise KeyboardInterrupt
        self._bar.set_postfix_str(text)
        self._bar.update()

    def note(self, text: str) -> None:
        """Say something that stays on the screen."""
        if not self._quiet:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the bar of this stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
