"""Five kinds of instrument on five ports of one gateway; one cable is pulled and put back."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

from gnss_rows import ROVER

from export.demo import write_config
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.sim_gnss import RoverPty, RoverRow
from firmware_bridge.sim_instruments import LinePty, PtyNode
from firmware_bridge.sim_modbus import BusPty, SimulatedSlave
from firmware_bridge.sim_modbus import SimulatedBus as ModbusBus
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sim_sdi12 import Sdi12Pty, SimulatedSensor
from firmware_bridge.sim_sdi12 import SimulatedBus as Sdi12Bus

PORTS = """
[[port]]
name = "node"
device = "{folder}/node-*"
protocol = "tw1"
clock = "arrival"

[[port]]
name = "logger"
device = "{logger}"
baud = 9600
protocol = "lines"
[port.lines]
column_count = 3
record_column = 0
columns = {{ rain = 1, air_temperature = 2 }}

[[port]]
name = "rover"
device = "{rover}"
baud = 38400
protocol = "gnss"
[port.gnss]
source = "relposned"
channels = ["up_mm", "fix_quality"]

[[port]]
name = "piezometers"
device = "{piezometers}"
baud = 19200
protocol = "modbus"
[port.modbus]
gap_ms = 5
[[port.modbus.device]]
address = 7
name = "p-7"
period_s = 0.2
order = "CDAB"
[[port.modbus.device.channel]]
name = "pore_pressure"
register = 0
type = "float32"

[[port]]
name = "soil"
device = "{soil}"
baud = 9600
protocol = "sdi12"
[port.sdi12]
[[port.sdi12.sensor]]
address = "3"
name = "s-3"
command = "R0"
channels = {{ soil_moisture = 0 }}
period_s = 0.3
"""
FROM = {
    "crack_1": "node", "tilt_x": "node", "tilt_y": "node", "crack_2": "rover", "rain": "logger",
    "air_temperature": "logger", "pore_pressure": "piezometers", "soil_moisture": "soil",
}  # fmt: skip
TRUTH = {"tilt_y": -3.0, "rain": 0.0, "pore_pressure": 20.25, "soil_moisture": 0.31}
CHANNELS = [
    Channel(name, Quantity.OTHER, Unit.RAW, -1e9, 1e9, 100) for name in FROM if FROM[name] == "node"
]


def config_of(tmp_path: Path, broker_port: int, **devices: str) -> Path:
    path = write_config(tmp_path, str(tmp_path / "absent"), broker_port)
    text = path.read_text(encoding="utf-8")
    start, end = text.index("[[port]]"), text.index("[[station]]")
    text = text[:start] + PORTS.format(folder=tmp_path, **devices) + "\n" + text[end:]
    text = text.replace("no_data_after_s = 5", "no_data_after_s = 60")
    for channel, port in FROM.items():
        old = f'name = "{channel}"\nport = "node"'
        assert old in text
        column = "up_mm" if port == "rover" else channel
        text = text.replace(old, f'name = "{channel}"\nport = "{port}"\ncolumn = "{column}"')
    path.write_text(text, encoding="utf-8")
    return path


def rover_rows() -> Iterator[RoverRow]:
    while True:
        yield RoverRow(time.time_ns() // 1_000_000, 0.0, 0.0, 12.5)


def node_on(tmp_path: Path, node: SimulatedNode, name: str) -> PtyNode:
    return PtyNode(node, repeat((1.5, 2.0, -3.0)), link=tmp_path / name, interval_s=0.1)


def values(room) -> Counter[str]:
    """How many values of each channel came."""
    found: Counter[str] = Counter()
    for message in room.of("telemetry"):
        for row in message["rows"]:
            for name, value in zip(message["fields"][2:], row[2:], strict=True):
                found[name] += value is not None
                assert value is None or value == TRUTH.get(name, value)
    return found


def opened(room) -> set[str]:
    """Which ports the last health message calls open."""
    for health in room.of("health")[-1:]:
        return {name for name, port in health["ports"].items() if port["state"] == "opened"}
    return set()


def test_one_loop_reads_them_all_and_a_pulled_cable_stops_no_other(
    tmp_path, broker, room, talus
) -> None:
    words = struct.unpack(">2H", struct.pack(">f", 20.25))
    slave = SimulatedSlave(7, holding={0: words[1], 1: words[0]})
    with ExitStack() as stack:
        logger = stack.enter_context(
            LinePty((f"{i},0.0,{i % 7}" for i in range(10**6)), interval_s=0.1)
        )
        rover = stack.enter_context(RoverPty(ROVER, rover_rows(), interval_s=0.2))
        bus = stack.enter_context(BusPty(ModbusBus([slave]), time.monotonic))
        sensor = SimulatedSensor("3", repeat((0.31,)))
        soil = stack.enter_context(Sdi12Pty(Sdi12Bus([sensor])))
        config = config_of(
            tmp_path,
            broker.port,
            logger=logger.device,
            rover=rover.device,
            piezometers=bus.device,
            soil=soil.device,
        )
        node = SimulatedNode(describe(CHANNELS))
        gateway = talus(config)
        with node_on(tmp_path, node, "node-A"):
            room.wait(lambda: min(values(room)[name] for name in FROM) >= 8)
        gateway.wait_log("closed: vanished")
        before = values(room)
        others = [name for name, port in FROM.items() if port != "node"]
        room.wait(lambda: min(values(room)[name] - before[name] for name in others) >= 8)
        node.reboot()  # the plug powers it
        with node_on(tmp_path, node, "node-B"):  # and it has another name
            gateway.wait_log("node-B): opened")
            room.wait(lambda: values(room)["crack_1"] >= before["crack_1"] + 8)
            room.wait(lambda: opened(room) == set(FROM.values()))
        totals = gateway.stop()
    came = totals["readings_in"] + totals["carried_over"]
    assert came == totals["published"] + sum(totals["rejected"].values()) + totals["waiting"]
    assert set(totals["rejected"]) <= {"truncated"}
    room.wait(lambda: room.of("health")[-1]["accounts"]["published"] == totals["published"])
    ports = room.of("health")[-1]["ports"]
    # What the node sends while its new port is being opened is discarded by the opening.
    assert ports["node"]["gaps"] < 50
    assert all(ports[name]["gaps"] == 0 for name in set(FROM.values()) - {"node"})
    assert ports["node"]["reboots"] == 1
    for name in set(FROM.values()) - {"node"}:
        assert ports[name]["dropped"] == {}, name
        assert ports[name]["frames_ok"] > 8, name
