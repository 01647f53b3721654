"""The modem of the second path: its port, its PIN, and the state machine between them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from edge.mqtt_tls import check_secret
from firmware_bridge.modem import Modem
from firmware_bridge.port import Port, PortState

if TYPE_CHECKING:
    from pathlib import Path

    from edge.parse_second_path import SmsConfig
    from firmware_bridge.modem_steps import Sms, SmsResult

_MAX_PIN_BYTES = 64


class SmsPort:
    """A modem on a serial port. Raises TalusError where its PIN file is not as it must be."""

    def __init__(self, config: SmsConfig, folder: Path) -> None:
        pin, self._pin_mark = _read_pin(config, folder)
        self.modem = Modem(pin, config.result_ms)
        self.port = Port(config.device, config.baud)
        self.state = "closed"

    def look(self, now_ms: int) -> tuple[list[SmsResult], str]:
        """Open, read and write as is due; gives results, and what changed, "" for nothing."""
        event = self.port.poll(now_ms)
        said = ""
        if event is not None:
            self.state = f"{event.state.value}: {event.reason}".removesuffix(": ")
            said = f"modem {event.device}: {self.state}"
            if event.state is PortState.OPENED:
                self.modem.opened(now_ms)
            else:
                self.modem.closed()
        before = self.modem.reason
        results = self.modem.receive(self.port.read(), now_ms)
        data = self.modem.write_next(now_ms) if self.port.is_open else b""
        if data:
            self.port.write(data)
        if event is None and self.modem.reason != before:
            said = f"modem {self.port.device}: {self.modem.reason or 'ready'}"
        return results, said

    def send(self, sms: Sms, now_ms: int) -> bool:
        """Give a text to the modem, where it is free."""
        return self.port.is_open and self.modem.send(sms, now_ms)

    def values(self) -> dict[str, Any]:
        """Return how the modem is as JSON values."""
        modem = self.modem
        return {
            "port": self.state,
            "ready": self.port.is_open and not modem.reason,
            "reason": modem.reason,
            "signal_dbm": modem.signal_dbm,
        }

    def snapshot(self) -> dict[str, Any]:
        """Return what must outlive this program: that the PIN of this file was tried."""
        return {"pin_tried": self._pin_mark if self.modem.pin_tried else ""}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot; another PIN file may be tried."""
        self.modem.pin_tried = bool(self._pin_mark) and state["pin_tried"] == self._pin_mark

    def close(self) -> None:
        """Close the port."""
        self.port.close()


def _read_pin(config: SmsConfig, folder: Path) -> tuple[str, str]:
    """Read the PIN, and what tells this file from the one that comes after it."""
    if not config.pin_file:
        return "", ""
    path, name = folder / config.pin_file, "second_path.sms.pin_file"
    check_secret(path, name)
    pin = ""
    with suppress(OSError, UnicodeDecodeError), path.open("rb") as file:
        pin = file.read(_MAX_PIN_BYTES).decode("ascii").strip()
        changed = str(path.stat().st_mtime_ns)
    if not (pin.isdigit() and 4 <= len(pin) <= 8):
        raise TalusError(f"{name}: {path}: not a PIN of 4 to 8 digits")
    return pin, hashlib.sha256(changed.encode()).hexdigest()[:16]
