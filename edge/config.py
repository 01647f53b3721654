"""One commented TOML file into frozen values; every mistake is named with its path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.calibration import ChannelPlan, full_name, referenced
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_channels import ChannelConfig, parse_channel
from edge.parse_mqtt import MqttConfig, parse_mqtt
from edge.parse_ports import PortConfig, parse_port
from edge.parse_trust import parse_trust

if TYPE_CHECKING:
    from pathlib import Path

    from edge.trust import Trust

MAX_CONFIG_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
"""Names stand in MQTT topics and file names: no slash, no wildcard, no space."""


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Which runtimes and which precision may run the models; ``auto`` takes the bundle's order."""

    prefer: tuple[str, ...]
    precision: str


@dataclass(frozen=True, slots=True)
class AlarmConfig:
    """Alarm rules of a station (ISA-18.2). Set points are ratios to the bundle's thresholds.

    ``ceiling`` is the highest level that each kind of score may raise.
    """

    set_points: tuple[float, float, float, float]
    deadband: float
    on_delay_ms: int
    off_delay_ms: int
    ceiling: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class StationConfig:
    """One watched slope: its channels, bundle, grid and alarm rules.

    ``step_ms`` 0 takes the step of the bundle.
    """

    name: str
    bundle: str
    step_ms: int
    readings_per_step: int
    lateness_ms: int
    no_data_after_ms: int
    channels: tuple[ChannelConfig, ...]
    alarm: AlarmConfig

    @property
    def plans(self) -> tuple[ChannelPlan, ...]:
        """The calibration plans, in channel order."""
        return tuple(channel.plan for channel in self.channels)


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
    mqtt: MqttConfig
    runtime: RuntimeConfig
    trust: Trust
    ports: tuple[PortConfig, ...]
    stations: tuple[StationConfig, ...]

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
    return config


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
    config = Config(
        name=name,
        folder=folder,
        data_dir=folder / gateway.text("data_dir", "talus-data"),
        capture=gateway.text("capture", ""),
        telemetry_every_ms=_ms(gateway, "telemetry_every_s", 1.0, low=0.05),
        health_every_ms=_ms(gateway, "health_every_s", 60.0, low=0.1),
        snapshot_every_ms=_ms(gateway, "snapshot_every_s", 60.0, low=0.1),
        reference_max_age_ms=_ms(gateway, "reference_max_age_s", 3600.0, low=1.0),
        outbox_max_bytes=gateway.integer("outbox_max_mb", 512, low=1, high=65536) * 1024 * 1024,
        mqtt=parse_mqtt(root.table("mqtt")),
        runtime=_runtime(root.table("runtime")),
        trust=parse_trust(root.table("trust")),
        ports=tuple(parse_port(t) for t in root.tables("port", at_least=1)),
        stations=tuple(_station(t, site=site) for t in root.tables("station", at_least=1)),
    )
    gateway.done()
    return config


def checked_name(table: Table, key: str, default: str | None = None) -> str:
    """Read a name that may stand in a topic or file name."""
    name = table.text(key) if default is None else table.text(key, default)
    if name and not _NAME.match(name):
        table.wrong(key, f"{name!r}: letters, digits, '_', '.', '-' only, 64 at most")
    return name


def _ms(table: Table, key: str, default: float, *, low: float = 0.0) -> int:
    return round(1000 * table.number(key, default, low=low, high=366 * 86400.0))


def _runtime(t: Table) -> RuntimeConfig:
    known = ("litert", "onnxruntime", "tflite")
    prefer = t.texts("prefer", list(known))
    for name in prefer:
        if name not in known:
            t.wrong("prefer", f"{name!r} is not one of {', '.join(known)}")
    precisions = ("auto", "float32", "float16", "dynamic", "int8", "int16x8")
    runtime = RuntimeConfig(prefer, t.text("precision", "auto", choices=precisions))
    t.done()
    return runtime


def _station(t: Table, *, site: bool) -> StationConfig:
    step_ms = _ms(t, "step_s", 0.0)
    if site and not step_ms:
        t.wrong("step_s", "needed for training: the grid step in seconds")
    station = StationConfig(
        name=checked_name(t, "name"),
        bundle=t.text("bundle", "") if site else t.text("bundle"),
        step_ms=step_ms,
        readings_per_step=t.integer("readings_per_step", 1, low=1, high=100_000),
        lateness_ms=_ms(t, "lateness_s", 0.0),
        no_data_after_ms=_ms(t, "no_data_after_s", 3600.0, low=0.1),
        channels=tuple(parse_channel(c) for c in t.tables("channel", at_least=1)),
        alarm=_alarm(t.table("alarm")),
    )
    t.done()
    return station


def default_ceiling() -> tuple[tuple[str, int], ...]:
    """Return the highest level that each kind of score may raise unless configured."""
    levels = {
        "velocity": 4,
        "forecast": 4,
        "residual": 2,
        "baseline": 2,
        "autoencoder": 2,
        "pca": 2,
    }
    return tuple(levels.items())


def _alarm(t: Table) -> AlarmConfig:
    points = t.numbers("set_points", [1.0, 2.0, 4.0, 8.0], length=4)
    if list(points) != sorted(set(points)) or points[0] <= 0:
        t.wrong("set_points", "four rising values above 0, for levels 1 to 4")
    ceiling = t.table("max_level")
    kinds = default_ceiling()
    alarm = AlarmConfig(
        set_points=(points[0], points[1], points[2], points[3]),
        deadband=t.number("deadband", 0.2, low=0.0, high=0.95),
        on_delay_ms=_ms(t, "on_delay_s", 0.0),
        off_delay_ms=_ms(t, "off_delay_s", 86400.0),
        ceiling=tuple((k, ceiling.integer(k, level, low=0, high=4)) for k, level in kinds),
    )
    ceiling.done()
    t.done()
    return alarm


def _agree(config: Config, mistakes: Mistakes) -> None:
    ports = [port.name for port in config.ports]
    stations = [station.name for station in config.stations]
    for key, names in (("port", ports), ("station", stations)):
        if len(set(names)) != len(names):
            mistakes.add(key, "names must differ")
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
        if port.name == channel.port and port.lines is not None:
            known = [name for name, _ in port.lines.columns]
            if channel.plan.column not in known:
                what = f"{channel.plan.column!r} is no column of port {port.name!r}"
                mistakes.add(f"{path}.column", f"{what}; known: {', '.join(known)}")
