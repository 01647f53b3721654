"""The [[port]] stanza for what was found: sound TOML whatever the device is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.probe_finding import Finding, Place, key, plain, port_name, stanza
from edge.probe_modbus import device_table, floats
from edge.probe_sdi12 import sensor_table
from edge.tail import port_of
from firmware_bridge.modbus_plan import ModbusPlan
from firmware_bridge.sdi12_plan import Sdi12Plan
from firmware_bridge.uart_frame import FRAMES


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.sampled_from([9600, 115_200]),
    st.sampled_from(sorted(FRAMES)),
)
def test_any_device_any_frame(device: str, baud: int, frame: str) -> None:
    port = port_of(stanza(Place(device, baud, frame), Finding("tw1", (), ())))
    assert (port.device, port.baud, port.frame) == (device, baud, frame)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KX7-if00-port0", "tw1-A10KX7"),
        ("usb:A10KX7", "tw1-A10KX7"),
        ("/dev/ttyUSB0", "tw1-ttyUSB0"),
        ("/dev/", "tw1-port"),
    ],
)
def test_a_short_name_that_tells_devices_apart(device: str, name: str) -> None:
    assert port_name(device, "tw1") == name


def test_keys_and_comments() -> None:
    assert (key("tilt_x"), key("a b"), key('"')) == ("tilt_x", '"a b"', '"\\""')
    assert plain("a\nb\x1b[2J") == "a?b?[2J"


@given(
    st.lists(st.integers(1, 247), min_size=1, max_size=8, unique=True),
    st.sampled_from([3, 4]),
    st.integers(0, 5000),
    st.lists(st.integers(0, 65_535), max_size=10),
)
def test_modbus_tables_are_read(addresses: list, function: int, first: int, words: list) -> None:
    tables = [line for a in addresses for line in device_table(a, function, first, tuple(words))]
    finding = Finding("modbus", (), ("[port.modbus]", *tables))
    port = port_of(stanza(Place("/dev/x", 9600), finding))
    assert isinstance(port.plan, ModbusPlan)
    assert [device.address for device in port.plan.devices] == addresses


def test_floats_in_either_order_and_none_where_there_are_none() -> None:
    assert floats((0x41A2, 0x0000, 0xC060, 0x0000)) == ("ABCD", [20.25, -3.5])
    assert floats((0x0000, 0x41A2, 0x0000, 0xC060)) == ("CDAB", [20.25, -3.5])
    assert floats((0, 0, 0, 0)) == ("", [])
    assert floats((1, 2, 3, 4)) == ("", [])


@given(
    st.lists(st.sampled_from("059azAZ"), min_size=1, unique=True),
    st.text(max_size=20).map(plain),
)
def test_sdi12_tables_are_read(addresses: list[str], known: str) -> None:
    tables = [line for address in addresses for line in sensor_table(address, known)]
    port = port_of(stanza(Place("/dev/x", 1200, "7E1"), Finding("sdi12", (), tuple(tables))))
    assert isinstance(port.plan, Sdi12Plan)
    assert [sensor.address for sensor in port.plan.sensors] == addresses
