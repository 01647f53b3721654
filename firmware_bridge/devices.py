"""Which serial device is meant: a path, a pattern, or a USB adapter by its serial number.

A number such as /dev/ttyUSB0 changes when adapters are pulled and put back; a link below
/dev/serial/by-id and a USB serial number do not.
"""

from __future__ import annotations

import glob
from pathlib import Path

from serial.tools import list_ports  # type: ignore[import-untyped, unused-ignore]

USB = "usb:"
BY_ID = Path("/dev/serial/by-id")
BY_PATH = Path("/dev/serial/by-path")


def find(device: str) -> tuple[str, str]:
    """Give the path of a device and, if there is not exactly one, the reason.

    ``device`` is a path, a pattern (``*``, ``?``), or ``usb:SERIAL``.
    """
    if device.startswith(USB):
        serial_number = device.removeprefix(USB)
        matches = sorted(
            port.device for port in list_ports.comports() if port.serial_number == serial_number
        )
        none = (
            f"no USB adapter has serial number {serial_number!r}: is it plugged in? (talus probe)"
        )
    elif glob.has_magic(device):
        matches = sorted(glob.glob(device))
        none = "no device matches: is it plugged in? (ls /dev/serial/by-id)"
    else:
        return device, ""
    if len(matches) == 1:
        return matches[0], ""
    if not matches:
        return device, none
    return device, f"matches {len(matches)} devices: {', '.join(matches[:4])}; name one"


def stable_name(path: str, by_id: Path = BY_ID, by_path: Path = BY_PATH) -> str:
    """Give the name of a device that stays when it is pulled and put back, if it has one.

    Adapters without a serial number all have one and the same link by id: there the name is that of
    the socket, and the adapter must go back into it.
    """
    real = Path(path).resolve()
    ports = list_ports.comports()
    numbers = [port.serial_number for port in ports if Path(port.device).resolve() == real]
    number = numbers[0] if numbers else None
    for folder in (by_id, by_path) if number or not numbers else (by_path, by_id):
        link = _link(folder, real)
        if link:
            return link
    if number and [port.serial_number for port in ports].count(number) == 1:
        return f"{USB}{number}"
    return path


def _link(folder: Path, real: Path) -> str:
    """Give the link of a folder to a device; "" if there is none."""
    if not folder.is_dir():
        return ""
    return next((str(link) for link in sorted(folder.iterdir()) if link.resolve() == real), "")


def present() -> list[tuple[str, str]]:
    """Give (stable name, description) of every serial device that is there."""
    return [
        (stable_name(port.device), port.description or "") for port in sorted(list_ports.comports())
    ]
