"""talus-status.txt: what happened at the first boot, for a person who has the card and a laptop."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from export.provision.firstboot.place import write_plain

if TYPE_CHECKING:
    from pathlib import Path

FILE = "talus-status.txt"
OK, WAITS, WRONG = "ok", "WAITS", "WRONG"


@dataclass(slots=True)
class Status:
    """What each step came to, in order."""

    gateway: str = "?"
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)

    def add(self, step: str, state: str, text: str, todo: str = "") -> None:
        """Note a step; said on standard output too, which is the journal."""
        self.steps.append((step, state, text))
        if todo:
            self.todo.append(todo)
        print(f"talus-firstboot: {step}: {state}: {text}", flush=True)

    @property
    def is_done(self) -> bool:
        """Whether no step waits or is wrong."""
        return bool(self.steps) and all(state == OK for _, state, _ in self.steps)

    def body(self) -> str:
        """Return the text, but for the time."""
        lines = [f"{step:<10} {state:<6} {text}" for step, state, text in self.steps]
        again = [] if self.is_done else ["It is tried again by itself every 2 minutes."]
        todo = [f"- {each}" for each in dict.fromkeys(self.todo)] or ["- nothing"]
        return "\n".join([*lines, "", "What to do:", *todo, *again, ""])

    def write(self, boot: Path) -> None:
        """Write it where it says something new: each writing wears the card."""
        path, body = boot / FILE, self.body()
        head = f"Talus, first boot of gateway {self.gateway}\n"
        try:
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            if before.startswith(head) and before.partition("\n\n")[2] == body:
                return
            clock = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            text = f"{head}written {clock} by the gateway's clock\n\n{body}"
            write_plain(path, text.encode())
        except (OSError, ValueError) as error:  # the boot partition may be read-only: journal alone
            print(f"talus-firstboot: {path}: {error}", file=sys.stderr)
