"""Progress on a terminal: a bar a stage, and notes that stay."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


class Bars:
    """tqdm bars on standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many parts."""
        self.close()
        self._bar = tqdm(total=total, desc=f"{name:<18}", disable=self._quiet, leave=True)

    def step(self, text: str) -> None:
        """Finish one part."""
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
