"""One commented TOML file into frozen values; every mistake is named with its path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.calibration import full_name, referenced
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_metrics import NO_METRICS, MetricsConfig, parse_metrics
from edge.parse_mqtt import MqttConfig, parse_mqtt
from edge.parse_ports import PortConfig, parse_port
from edge.parse_publish import NOTHING, PublishConfig, parse_publish
from edge.parse_remote import NO_REMOTE, RemoteConfig, parse_remote
from edge.parse_second_path import NO_SECOND_PATH, SecondPathConfig, parse_second_path
from edge.parse_station import (
    AlarmConfig,
    StationConfig,
    checked_name,
    default_ceiling,
    milliseconds,
    parse_station,
)
from edge.parse_trust import parse_trust

if TYPE_CHECKING:
    from pathlib import Path

    from edge.parse_channels import ChannelConfig
    from edge.trust import Trust

MAX_CONFIG_BYTES = 1024 * 1024
INDEX = "bundles/index.json"
"""In `data_dir`: which bundles were installed over MQTT (edge.bundle_install)."""

__all__ = [
    "AlarmConfig",
    "Config",
    "RuntimeConfig",
    "StationConfig",
    "checked_name",
    "default_ceiling",
    "load_config",
]


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Which runtimes and which precision may run the models; ``auto`` takes the bundle's order.

    ``kernels``: ``tuned`` to the CPU, or ``plain``: numbers hardly depend on it, and are slower.
    """

    prefer: tuple[str, ...]
    precision: str
    kernels: str = "tuned"


@dataclass(frozen=True, slots=True)
class Config:
    """A whole gateway. Relative paths are relative to ``folder``, where the TOML stands."""

    name: str
    folder: Path
    data_dir: Path
    capture: str
    telemetry_every_ms: int
    health_every_ms: int
    snapshot_every_ms: int
    reference_max_age_ms: int
    outbox_max_bytes: int
    outbox_max_days: int
    mqtt: MqttConfig
    runtime: RuntimeConfig
    trust: Trust
    ports: tuple[PortConfig, ...]
    stations: tuple[StationConfig, ...]
    publish: PublishConfig = NOTHING
    remote: RemoteConfig = NO_REMOTE
    second_path: SecondPathConfig = NO_SECOND_PATH
    metrics: MetricsConfig = NO_METRICS

    def station(self, name: str) -> StationConfig:
        """Return the station of that name. Raises ConfigError."""
        for station in self.stations:
            if station.name == name:
                return station
        known = ", ".join(s.name for s in self.stations)
        raise ConfigError("station", (f"{name!r} is not configured; known: {known}",))


def load_config(path: Path, *, site: bool = False) -> Config:
    """Read gateway.toml (or site.toml: ``site`` lets stations be without a bundle).

    Raises ConfigError naming every mistake; the table [train] belongs to talus-export.
    """
    import tomllib

    mistakes = Mistakes(str(path))
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            mistakes.add("file", f"larger than {MAX_CONFIG_BYTES} bytes")
            mistakes.raise_if_any()
        data = tomllib.loads(_text(path.read_bytes()))
    except OSError as error:
        mistakes.add("file", f"cannot be read: {error.strerror or error}")
        data = {}
    except (ValueError, RecursionError) as error:  # also too long a number, too deep a nesting
        mistakes.add("file", f"not TOML: {error}")
        data = {}
    mistakes.raise_if_any()
    root = Table(data, "", mistakes)
    config = _config(root, path, site=site)
    root.table("train").items()
    root.done()
    _agree(config, mistakes)
    mistakes.raise_if_any()
    if site or not (config.data_dir / INDEX).exists():
        return config
    from edge.bundle_install import armed  # only where a bundle came over MQTT

    return armed(config)


def _text(content: bytes) -> str:
    """Decode UTF-8, with or without the mark that Windows editors put before it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        msg = (
            f"byte 0x{content[error.start]:02x} in line {line} is not UTF-8: save the file as UTF-8"
        )
        raise ValueError(msg) from error


def _config(root: Table, path: Path, *, site: bool) -> Config:
    gateway = root.table("gateway")
    name = checked_name(gateway, "name", "gateway")
    folder = path.resolve().parent
    mqtt = parse_mqtt(root.table("mqtt"))
    stations = tuple(parse_station(t, site=site) for t in root.tables("station", at_least=1))
    config = Config(
        name=name,
        folder=folder,
        data_dir=folder / gateway.text("data_dir", "talus-data"),
        capture=gateway.text("capture", ""),
        telemetry_every_ms=milliseconds(gateway, "telemetry_every_s", 0.6, low=0.05),
        health_every_ms=milliseconds(gateway, "health_every_s", 60.0, low=0.1),
        snapshot_every_ms=milliseconds(gateway, "snapshot_every_s", 120.0, low=0.1),
        reference_max_age_ms=milliseconds(gateway, "reference_max_age_s", 3600.0, low=1.0),
        outbox_max_bytes=gateway.integer("outbox_max_mb", 512, low=1, high=65536) * 1024 * 1024,
        outbox_max_days=gateway.integer("outbox_max_days", 30, low=1, high=3650),
        mqtt=mqtt,
        runtime=_runtime(root.table("runtime")),
        trust=parse_trust(root.table("trust")),
        ports=tuple(parse_port(t) for t in root.tables("port", at_least=1)),
        stations=stations,
        publish=parse_publish(root.table("publish"), stations, mqtt.telemetry_encoding),
        remote=parse_remote(root.table("remote")),
        second_path=parse_second_path(root.table("second_path")),
        metrics=parse_metrics(root.table("metrics")),
    )
    gateway.done()
    return config


def _runtime(t: Table) -> RuntimeConfig:
    known = ("litert", "onnxruntime", "tflite")
    prefer = t.texts("prefer", list(known))
    for name in prefer:
        if name not in known:
            t.wrong("prefer", f"{name!r} is not one of {', '.join(known)}")
    precisions = ("auto", "float32", "float16", "dynamic", "int8", "int16x8")
    precision = t.text("precision", "auto", choices=precisions)
    kernels = t.text("kernels", "tuned", choices=("tuned", "plain"))
    runtime = RuntimeConfig(prefer, precision, kernels)
    t.done()
    return runtime


def _agree(config: Config, mistakes: Mistakes) -> None:
    ports = [port.name for port in config.ports]
    stations = [station.name for station in config.stations]
    for key, names in (("port", ports), ("station", stations)):
        if len(set(names)) != len(names):
            mistakes.add(key, "names must differ")
    sms = config.second_path.sms
    if sms is not None and sms.device in [port.device for port in config.ports]:
        mistakes.add("second_path.sms.device", f"{sms.device} is also the device of a [[port]]")
    every = {full_name(s.name, c.name) for s in config.stations for c in s.channels}
    for i, station in enumerate(config.stations):
        names = [channel.name for channel in station.channels]
        for j, channel in enumerate(station.channels):
            path = f"station[{i}].channel[{j}]"
            if channel.port not in ports:
                known = ", ".join(ports)
                mistakes.add(f"{path}.port", f"{channel.port!r} is no port; known: {known}")
            if names.count(channel.name) > 1:
                mistakes.add(f"{path}.name", f"{channel.name!r} is there twice")
            for name in referenced(channel.plan.stages):
                if full_name(station.name, name) not in every:
                    mistakes.add(f"{path}.calibration", f"refers to {name!r}, no such channel")
            _column(config, channel, path, mistakes)
    for name in circular(config):
        mistakes.add("station", f"the calibration of {name!r} refers to itself, round about")


def circular(config: Config) -> list[str]:
    """Return the channels (``station/channel``) whose calibration leads back to themselves."""
    to = {
        full_name(s.name, c.name): [full_name(s.name, n) for n in referenced(c.plan.stages)]
        for s in config.stations
        for c in s.channels
    }
    found = []
    for start, first in to.items():
        seen: set[str] = set()
        open_ends = list(first)
        while open_ends:
            name = open_ends.pop()
            if name not in seen:
                seen.add(name)
                open_ends += to.get(name, [])
        if start in seen:
            found.append(start)
    return found


def _column(config: Config, channel: ChannelConfig, path: str, mistakes: Mistakes) -> None:
    for port in config.ports:
        known = port.columns
        if port.name != channel.port or known is None or channel.plan.column in known:
            continue
        what = f"{channel.plan.column!r} is no column of port {port.name!r}"
        mistakes.add(f"{path}.column", f"{what}; known: {', '.join(known)}")
