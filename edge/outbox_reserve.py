"""A file that only takes room: on a full disk it is given to the alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESERVE_BYTES = 1024 * 1024


class Reserve:
    """The reserve of one outbox."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note

    @property
    def stands(self) -> bool:
        """Whether it is there, whatever its size."""
        return self._path.exists()

    def refill(self) -> bool:
        """Fill it where it is not whole; whether it is now."""
        try:
            if not self._path.exists() or self._path.stat().st_size < RESERVE_BYTES:
                self._path.write_bytes(bytes(RESERVE_BYTES))
        except OSError as error:
            self.give()
            self._note(f"{self._path}: {error.strerror}: free some space on this disk")
            return False
        return True

    def give(self) -> None:
        """Give its room away."""
        self._path.unlink(missing_ok=True)
