"""Orders on their way from the command line to a running gateway, through a folder of `data_dir`.

An order is a file; its answer is a file beside it; both are written aside and renamed. What came of
every order is a line of ``orders.log``, which is turned over at MAX_LOG_BYTES.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.order import MAX_ORDER_BYTES, Order, OrderError, decode_order, encode_order

if TYPE_CHECKING:
    from pathlib import Path

LOOK_MS = 500
MAX_AT_ONCE = 16
MAX_LOG_BYTES = 1024 * 1024
_FOLDER, _LOG = "orders", "orders.log"


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an order."""

    id: str
    done: bool
    text: str


class OrderBox:
    """The gateway's side."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER
        self._log = data_dir / _LOG
        self._looked_ms: int | None = None

    def look(self, now_ms: int) -> list[Order]:
        """Give the orders that wait, oldest first; what is none is answered and thrown away."""
        if self._looked_ms is not None and 0 <= now_ms - self._looked_ms < LOOK_MS:
            return []
        self._looked_ms = now_ms
        found = []
        try:
            names = sorted(n for n in os.listdir(self._folder) if n.endswith(".order"))  # noqa: PTH208
        except OSError:
            return []
        paths = [self._folder / name for name in names[:MAX_AT_ONCE]]
        for path in paths:
            try:
                with path.open("rb") as file:
                    found.append(decode_order(file.read(MAX_ORDER_BYTES + 1)))
            except OrderError as error:
                self._note(now_ms, f"{path.name}: {error}")
                path.unlink(missing_ok=True)
            except OSError:
                continue
        return found

    def answer(self, order: Order, now_ms: int, *, done: bool, text: str) -> None:
        """Say what became of an order, and take it out of the box."""
        self._note(now_ms, f"{encode_order(order)} {'done' if done else 'refused'}: {text}")
        values = {"id": order.id, "done": done, "text": text}
        with suppress(OSError):  # nobody waits for ever
            _write(self._folder / f"{order.id}.reply", json.dumps(values))
        for path in self._folder.glob(f"*{order.id}.order"):
            path.unlink(missing_ok=True)

    def _note(self, now_ms: int, text: str) -> None:
        """Keep the audit; a full disk must not keep an order from being carried out."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ms / 1000))
        try:
            if self._log.exists() and self._log.stat().st_size > MAX_LOG_BYTES:
                self._log.replace(self._log.with_name(_LOG + ".1"))
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{stamp} {text}\n")
        except OSError:
            return


def put_order(data_dir: Path, order: Order) -> None:
    """Put an order into the box of a gateway. Raises OSError."""
    folder = data_dir / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _write(folder / f"{time.time_ns()}-{order.id}.order", encode_order(order))


def await_reply(data_dir: Path, order: Order, patience_s: float) -> Reply | None:
    """Wait for what became of an order; None if nothing came: the order goes on waiting."""
    path = data_dir / _FOLDER / f"{order.id}.reply"
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            time.sleep(0.05)
            continue
        path.unlink(missing_ok=True)
        return Reply(str(values["id"]), bool(values["done"]), str(values["text"]))
    return None


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
