"""The gateways side by side: how each is set up, started, and read at the subscriber.

A line from a serial port goes out over MQTT, at QoS 1 where that can be set. What is not the
default of a peer is set in its favour, and said in ``setting``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from peers_env import node_of, node_version, python_of, python_version
from peers_server import ThingsBoard
from peers_tally import (
    COLUMNS,
    Arrivals,
    Came,
    raw_bytes,
    talus_rows,
    thingsboard_rows,
    whole_lines,
)

from edge.bench import demo_bundle
from export.slope import CHANNELS

Reader = Callable[[Iterable[Came]], Arrivals]
BARE = Path(__file__).with_name("relay_bare.py")


@dataclass(frozen=True, slots=True)
class Start:
    """How a gateway process is started."""

    command: list[str]
    folder: Path
    more_env: dict[str, str] = field(default_factory=dict)


def _nobody(_: int) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Peer:
    """One gateway."""

    name: str
    title: str
    python: bool
    ours: bool
    topic: str
    setting: str
    read: Reader
    version: Callable[[], str]
    """Makes the environment too; raises NotInstalledError."""
    start: Callable[[Path, str, int], Start]
    """Of a folder of its own, the serial device, and the broker's port."""
    server: Callable[[int], AbstractContextManager[object]] = _nobody
    """What a gateway needs beside the broker."""


_TALUS = """\
[gateway]
name = "{name}"
data_dir = "data"
telemetry_every_s = 0.05
[trust]
allow_unsigned = true
[mqtt]
host = "127.0.0.1"
port = {port}
[[port]]
name = "node"
device = "{device}"
protocol = "lines"
max_skew_s = 0
[port.lines]
delimiter = ","
column_count = {columns}
time_column = 0
time_format = "epoch_ms"
record_column = 1
columns = {{ {names} }}
"""


def _talus_config(name: str, folder: Path, device: str, port: int) -> Path:
    """Write the demo's station over lines; without inference its models give way to a rule."""
    names = ", ".join(f"{channel} = {2 + i}" for i, channel in enumerate(CHANNELS))
    head = _TALUS.format(name=name, port=port, device=device, columns=COLUMNS, names=names)
    shipped = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    station = shipped[shipped.index("\n[[station]]") :]
    station = station.replace("no_data_after_s = 7200", "no_data_after_s = 86400")
    if name == "talus-on":
        if not (folder / "bundle").exists():
            shutil.copytree(demo_bundle(), folder / "bundle")
    else:
        alarm = station.index("[station.alarm]")
        station = station.replace(station[alarm : station.index("[[station.channel]]")], "")
        station = station.replace('bundle = "bundle"\n', 'decision = { profile = "none" }\n')
        station += (
            '[[station.rule]]\nname = "far open"\nlevel = 2\nvalid_s = 0\n'
            '[[station.rule.when]]\nevidence = "value"\nabove = 4000\nchannels = ["crack_1"]\n'
        )
    path = folder / "gateway.toml"
    path.write_text(head + station, encoding="utf-8")
    return path


def _talus(name: str) -> Callable[[Path, str, int], Start]:
    def start(folder: Path, device: str, port: int) -> Start:
        config = _talus_config(name, folder, device, port)
        return Start([sys.executable, "-m", "edge", "run", "--config", str(config)], folder)

    return start


def _bare(folder: Path, device: str, port: int) -> Start:
    return Start([sys.executable, str(BARE), device, str(port)], folder)


def _mqtt_io(folder: Path, device: str, port: int) -> Start:
    text = (
        f"mqtt:\n  host: 127.0.0.1\n  port: {port}\n  topic_prefix: mqttio\n"
        "stream_modules:\n  - name: node\n    module: serial\n"
        f"    device: {device}\n    baud: 115200\n    read_interval: 0.05\n"
        "options:\n  install_requirements: no\n"
    )
    path = folder / "mqtt-io.yml"
    path.write_text(text, encoding="utf-8")
    return Start([str(python_of("mqtt-io")), "-m", "mqtt_io", str(path)], folder)


def _thingsboard(folder: Path, device: str, port: int) -> Start:
    package = next((python_of("thingsboard-gateway").parent.parent / "lib").glob("python*"))
    package = package / "site-packages" / "thingsboard_gateway" / "config"
    config = folder / "config"
    if not config.exists():
        config.mkdir()
        (folder / "logs").mkdir()
        for name in ("logs.json", "list.json", "connected_devices.json"):
            if (package / name).exists():
                text = (package / name).read_text(encoding="utf-8")
                (config / name).write_text(text.replace('"DEBUG"', '"INFO"'), encoding="utf-8")
    main = json.loads((package / "tb_gateway.json").read_text(encoding="utf-8"))
    main["thingsboard"] |= {
        "host": "127.0.0.1", "port": port, "remoteConfiguration": False,
        "security": {"type": "accessToken", "accessToken": "peer"},
        **dict.fromkeys(_TB_LIMITS, "0:0,"),
    }  # fmt: skip
    main["thingsboard"]["statistics"]["enable"] = False
    main["storage"] = {"type": "sqlite", "data_file_path": f"{folder}/data/"}
    (folder / "data").mkdir(exist_ok=True)
    main["connectors"] = [
        {"type": "serial", "name": "serial", "configuration": "serial.json",
         "class": "SerialConnector"}
    ]  # fmt: skip
    whole = {"type": "string", "key": "line", "untilDelimiter": "\n"}
    serial = {
        "name": "serial", "logLevel": "INFO",
        "devices": [{"name": "node", "type": "default", "port": device, "baudrate": 115200,
                     "converter": "SerialUplinkConverter",
                     "downlink_converter": "SerialDownlinkConverter", "telemetry": [whole]}],
    }  # fmt: skip
    (config / "tb_gateway.json").write_text(json.dumps(main, indent=1), encoding="utf-8")
    (config / "serial.json").write_text(json.dumps(serial, indent=1), encoding="utf-8")
    command = [str(python_of("thingsboard-gateway")), "-m", "thingsboard_gateway.tb_gateway"]
    return Start(command, folder, {"TB_GW_CONFIG_DIR": f"{config}/"})


_TB_LIMITS = (
    "rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits",
    "deviceRateLimits", "deviceDpRateLimits",
)  # fmt: skip


def _node_red(folder: Path, device: str, port: int) -> Start:
    modules = node_of("node-red")
    flow = [
        {"id": "t", "type": "tab", "label": "peer"},
        {"id": "p", "type": "serial-port", "serialport": device, "serialbaud": "115200",
         "databits": "8", "parity": "none", "stopbits": "1", "waitfor": "", "newline": "\\n",
         "bin": "false", "out": "char", "addchar": "", "responsetimeout": "10000"},
        {"id": "b", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port),
         "clientid": "node-red", "keepalive": "60", "cleansession": False, "autoConnect": True,
         "protocolVersion": "4", "usetls": False},
        {"id": "i", "z": "t", "type": "serial in", "serial": "p", "wires": [["o"]]},
        {"id": "o", "z": "t", "type": "mqtt out", "topic": "nodered/line", "qos": "1",
         "retain": "false", "broker": "b", "wires": []},
    ]  # fmt: skip
    path = folder / "flows.json"
    path.write_text(json.dumps(flow), encoding="utf-8")
    link = folder / "node_modules"
    if not link.is_symlink():
        link.symlink_to(modules)
        (folder / "package.json").write_text(
            '{"name": "peer", "dependencies": {"node-red-node-serialport": "*"}}', encoding="utf-8"
        )
        (folder / "settings.js").write_text(
            "module.exports = { uiPort: 0, uiHost: '127.0.0.1', httpAdminRoot: false,"
            " httpNodeRoot: false, flowFile: 'flows.json', credentialSecret: false,"
            " logging: { console: { level: 'info' } } };",
            encoding="utf-8",
        )
    script = modules / "node-red" / "red.js"
    return Start(["node", str(script), "--userDir", str(folder)], folder, {"HOME": str(folder)})


def _ours() -> str:
    from edge import __version__

    return __version__


def _node_red_version() -> str:
    modules = node_of("node-red")
    serial = node_version(modules, "node-red-node-serialport")
    return f"{node_version(modules, 'node-red')}, serial node {serial}"


PEERS = (
    Peer("talus-on", "Talus, inference on", True, True, "talus/talus-on/+/telemetry",
         "demo bundle (GRU, detectors), telemetry_every_s 0.05", talus_rows, _ours,
         _talus("talus-on")),
    Peer("talus-off", "Talus, inference off", True, True, "talus/talus-off/+/telemetry",
         "one rule, telemetry_every_s 0.05", talus_rows, _ours, _talus("talus-off")),
    Peer("bare", "bare pyserial + paho", True, False, "bare/line",
         "18 lines, QoS 1", whole_lines,
         lambda: f"paho {python_version(Path(sys.executable), 'paho-mqtt')}", _bare),
    Peer("mqtt-io", "mqtt-io", True, False, "mqttio/stream/node",
         "read_interval 0.05 (default 60); publishes streams at QoS 0", raw_bytes,
         lambda: python_version(python_of("mqtt-io"), "mqtt-io"), _mqtt_io),
    Peer("thingsboard", "thingsboard-gateway", True, False, "v1/gateway/telemetry",
         "storage sqlite (default memory), no rate limits, log level INFO", thingsboard_rows,
         lambda: python_version(python_of("thingsboard-gateway"), "thingsboard-gateway"),
         _thingsboard, ThingsBoard),
    Peer("node-red", "Node-RED", False, False, "nodered/line",
         "serial in, MQTT out at QoS 1, no editor", whole_lines, _node_red_version, _node_red),
)  # fmt: skip


def environment(start: Start) -> dict[str, str]:
    """Return what a gateway process finds in its environment."""
    return os.environ | start.more_env
