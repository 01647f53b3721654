"""Serial devices by the names that stay."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from serial.tools import list_ports

from firmware_bridge.devices import find, present, stable_name


def plugged(monkeypatch: pytest.MonkeyPatch, *ports: tuple[str, str | None]) -> None:
    """Let these (device, serial number) be what USB shows: there is no adapter on a test bench."""
    found = [
        SimpleNamespace(device=device, serial_number=number, description=f"adapter {number}")
        for device, number in ports
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: found)


def test_a_usb_serial_number_is_found_under_any_device_name(monkeypatch) -> None:
    plugged(monkeypatch, ("/dev/ttyUSB0", "A1"), ("/dev/ttyUSB1", "B2"))
    assert find("usb:B2") == ("/dev/ttyUSB1", "")
    plugged(monkeypatch, ("/dev/ttyUSB7", "B2"))
    assert find("usb:B2") == ("/dev/ttyUSB7", "")
    assert "'A1': is it plugged in?" in find("usb:A1")[1]
    plugged(monkeypatch, ("/dev/ttyUSB0", "0"), ("/dev/ttyUSB1", "0"))
    assert "matches 2 devices" in find("usb:0")[1]  # cheap adapters all have the same number


def test_the_stable_name_is_the_link_or_the_number(tmp_path: Path, monkeypatch) -> None:
    device = tmp_path / "ttyUSB3"
    device.touch()
    plugged(monkeypatch, (str(device), "B2"))
    assert stable_name(str(device), tmp_path / "none", tmp_path / "none") == "usb:B2"
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-FTDI_B2-if00-port0").symlink_to(device)
    assert stable_name(str(device), by_id) == str(by_id / "usb-FTDI_B2-if00-port0")
    assert present() == [("usb:B2", "adapter B2")]
    plugged(monkeypatch)
    assert stable_name("/dev/ttyS0", tmp_path / "none", tmp_path / "none") == "/dev/ttyS0"


def test_an_adapter_without_a_serial_number_is_named_by_its_socket(
    tmp_path: Path, monkeypatch
) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    by_id, by_path = tmp_path / "by-id", tmp_path / "by-path"
    for folder, name in ((by_id, "usb-1a86_USB_Serial-if00-port0"), (by_path, "pci-0:1.2:1.0")):
        folder.mkdir()
        (folder / name).symlink_to(device)
    plugged(monkeypatch, (str(device), None))
    assert stable_name(str(device), by_id, by_path) == str(by_path / "pci-0:1.2:1.0")
    assert stable_name(str(device), by_id, tmp_path / "none").startswith(str(by_id))
    plugged(monkeypatch, (str(device), "A1"))
    assert stable_name(str(device), by_id, by_path).startswith(str(by_id))


def test_a_serial_number_that_several_ports_share_names_none(tmp_path: Path, monkeypatch) -> None:
    plugged(monkeypatch, ("/dev/ttyUSB0", "Q4"), ("/dev/ttyUSB1", "Q4"), ("/dev/ttyUSB2", "B2"))
    none = tmp_path / "none"
    assert stable_name("/dev/ttyUSB1", none, none) == "/dev/ttyUSB1"
    assert stable_name("/dev/ttyUSB2", none, none) == "usb:B2"
