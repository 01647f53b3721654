"""`talus tail`: one line a reading, at once, pipeable."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from itertools import repeat
from pathlib import Path

import pytest
from gnss_rows import ROVER, row_at

from edge.__main__ import main
from edge.tail import json_line, port_of, text_line
from export.demo import make_node, write_config
from export.local_broker import free_port
from firmware_bridge.port import Port
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_gnss import RoverPty
from firmware_bridge.sim_instruments import LinePty, PtyNode
from firmware_bridge.sim_modbus import BusPty, SimulatedBus, SimulatedSlave
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sim_pty import Pty
from firmware_bridge.sim_rows import CHANNELS, creep

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+( \S+=\S+( (mm|mrad|kPa|degC))?)+")
TW1 = ("--baud", "115200", "--protocol", "tw1")


def node(**more) -> PtyNode:
    return PtyNode(SimulatedNode(describe(CHANNELS)), creep(100_000), interval_s=0.01, **more)


def test_a_node_without_any_configuration(capsys) -> None:
    with node() as device:
        assert main(["tail", device.device, *TW1, "--count", "20"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == 20
    assert all(LINE.fullmatch(line) for line in lines)
    assert re.search(r" displacement=\S+ mm tilt=\S+ mrad pore_pressure=\S+ kPa", lines[0])
    assert "opened" in said.err


def test_the_ports_of_a_configuration_as_json(tmp_path: Path, capsys) -> None:
    with make_node(200.0) as device:
        config = write_config(tmp_path, device.device, free_port())
        arguments = ("--config", str(config), "--port", "node", "--json", "--count", "10")
        assert main(["tail", *arguments]) == 0
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["sequence"] for item in items] == list(range(10))
    assert {item["port"] for item in items} == {"node"}
    assert items[0]["units"]["crack_1"] == "mm"
    assert set(items[0]["values"]) >= {"crack_1", "tilt_x"}


def test_what_speaks_is_found_where_nothing_is_told(capsys) -> None:
    rows = (row_at(i) for i in range(100_000))
    with RoverPty(ROVER, rows, interval_s=0.05) as device:
        assert main(["tail", device.device, "--count", "2"]) == 0
        assert "east_mm=" in capsys.readouterr().out
    lines = (f"{i};{i * 0.5};21" for i in range(100_000))
    with LinePty(lines, interval_s=0.02) as device:
        assert main(["tail", device.device, "--baud", "9600", "--json", "--count", "2"]) == 0
    item = json.loads(capsys.readouterr().out.splitlines()[0])
    assert item["values"]["column_1"] == item["sequence"] * 0.5


def test_devices_that_must_be_asked_are_found_and_asked(capsys) -> None:
    slave = SimulatedSlave(2, holding=dict.fromkeys(range(10), 5))
    with BusPty(SimulatedBus([slave]), time.monotonic) as device:
        arguments = ("--baud", "9600", "--frame", "8N1", "--protocol", "modbus", "--count", "1")
        assert main(["tail", device.device, *arguments]) == 0
    assert "value_2=5" in capsys.readouterr().out


def test_what_gave_no_reading_goes_aside_or_among_them(capsys) -> None:
    faults = Faults(flip_rate=0.3, seed=3)
    with node(faults=faults) as device:
        assert main(["tail", device.device, *TW1, "--count", "10"]) == 0
        aside = capsys.readouterr()
        assert main(["tail", device.device, *TW1, "--count", "10", "--all"]) == 0
        among = capsys.readouterr()
    for text, clean in ((aside.err, aside.out), (among.out, among.err)):
        assert re.search(r"Z \S+ dropped (crc|cobs): .*, \d+ bytes", text)
        assert "dropped" not in clean


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    with node() as device:
        command = [sys.executable, "-m", "edge", "tail", device.device, *TW1]
        tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert tail.stdout is not None
        # It comes line by line, and not when some buffer is full.
        first = tail.stdout.readline()
        tail.stdout.close()
        _, errors = tail.communicate(timeout=30)
    assert LINE.fullmatch(first.decode().strip())
    assert tail.returncode == 0
    assert b"Broken" not in errors
    assert b"Traceback" not in errors


def test_nothing_within_the_time_is_exit_code_1(capsys) -> None:
    pty = Pty()
    assert main(["tail", pty.path, *TW1, "--seconds", "0.3"]) == 1
    holder = Port(pty.path)
    holder.poll(0)
    assert main(["tail", pty.path, *TW1, "--seconds", "0.3"]) == 1
    assert "held by another process" in capsys.readouterr().err
    holder.close()
    pty.close()
    with LinePty(repeat("no numbers"), interval_s=0.02) as device:
        arguments = ("--baud", "9600", "--protocol", "lines")
        assert main(["tail", device.device, *arguments]) == 1
    assert "talus probe" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("/dev/null", "--config", "gateway.toml")])
def test_either_a_port_or_a_configuration(arguments: tuple[str, ...], capsys) -> None:
    assert main(["tail", *arguments]) == 2
    assert "either --config gateway.toml or a PORT" in capsys.readouterr().err


def test_a_port_that_is_not_configured(tmp_path: Path, capsys) -> None:
    config = write_config(tmp_path, "/dev/null", free_port())
    assert main(["tail", "--config", str(config), "--port", "x"]) == 1
    assert "no port named x" in capsys.readouterr().err


def test_lines_of_odd_values_and_names() -> None:
    names = ("a b=c\n\x1b[2J", "tilt", "zero")
    reading = Reading("n", 0, -1, names, (1e-7, float("nan"), -0.0), 5)
    line = text_line(reading, {"tilt": "mrad"})
    assert line == "1970-01-01T00:00:00.000Z n a_b_c__[2J=1e-07 tilt=nan mrad zero=0"
    values = json.loads(json_line(reading, {}))
    assert values["values"] == {names[0]: 1e-7, "tilt": None, "zero": 0.0}
    assert (values["sequence"], values["uncertainty_ms"]) == (None, None)
    dropped = Dropped("n", "crc", "the checksum does not match", 1, 31)
    assert json.loads(json_line(dropped, {}))["dropped"] == "crc"


def test_a_stanza_is_read_as_a_configuration_is() -> None:
    port = port_of(['[[port]]\nname="x"\ndevice="/dev/x"\nprotocol="tw1"\nframe="8E1"'])
    assert (port.name, port.frame) == ("x", "8E1")
