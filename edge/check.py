"""``talus check``: is everything there that ``talus run`` needs? One line a finding."""

from __future__ import annotations

import os
import queue
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bundle import load_bundle
from edge.errors import BundleError, ConfigError, TalusError
from edge.runtime import installed
from edge.station import check_schema
from firmware_bridge.port import Port, PortState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.config import Config

MIN_FREE_MB = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``path`` in the TOML, and what is wrong with it and what to do."""

    ok: bool
    path: str
    text: str


def check(config_path: Path, *, broker_wait_s: float = 5.0) -> Iterator[Finding]:
    """Look at configuration, runtimes, bundles, ports, disk and broker."""
    from edge.config import load_config

    try:
        config = load_config(config_path)
    except ConfigError as error:
        for mistake in error.mistakes:
            path, _, text = mistake.partition(": ")
            yield Finding(ok=False, path=path, text=text)
        return
    size = f"{len(config.ports)} ports, {len(config.stations)} stations"
    yield Finding(ok=True, path=str(config_path), text=size)
    yield _runtimes()
    yield from _bundles(config)
    yield from _ports(config)
    yield _disk(config)
    yield _broker(config, broker_wait_s)


def _runtimes() -> Finding:
    found = installed()
    if not found:
        text = "no inference runtime is installed: pip install 'talus-edge[litert]'"
        return Finding(ok=False, path="runtime", text=text)
    return Finding(ok=True, path="runtime", text=", ".join(found))


def _bundles(config: Config) -> Iterator[Finding]:
    for i, station in enumerate(config.stations):
        path = f"station[{i}].bundle"
        try:
            bundle = load_bundle(config.folder / station.bundle, config.runtime)
            check_schema(station, bundle.manifest)
        except BundleError as error:
            yield Finding(ok=False, path=path, text=str(error))
            continue
        loaded = bundle.forecaster
        text = (
            f"{bundle.manifest.label}: {loaded.artifact.file} in {loaded.runtime}, "
            f"golden outputs met within {loaded.golden_error:.2g}"
        )
        yield Finding(ok=True, path=path, text=text)


def _ports(config: Config) -> Iterator[Finding]:
    for i, each in enumerate(config.ports):
        path = f"port[{i}].device"
        port = Port(each.device, each.baud)
        event = port.poll(0)
        port.close()
        if event is not None and event.state is PortState.OPENED:
            yield Finding(ok=True, path=path, text=f"{event.device} opens at {each.baud} baud")
        else:
            reason = "" if event is None else event.reason
            yield Finding(ok=False, path=path, text=f"{each.device}: {reason}")


def _disk(config: Config) -> Finding:
    path, folder = "gateway.data_dir", config.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        user = os.environ.get("USER", "this user")
        return Finding(ok=False, path=path, text=f"{folder}: {user} cannot write there")
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < MIN_FREE_MB:
        return Finding(ok=False, path=path, text=f"{folder}: {free_mb} MB free: make room")
    return Finding(ok=True, path=path, text=f"{config.data_dir}, {free_mb} MB free")


def _broker(config: Config, wait_s: float) -> Finding:
    from edge.relay import make_client

    m = config.mqtt
    where = f"{m.host}:{m.port}"
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    try:
        client = make_client(m, config.folder, f"talus-{config.name}-check")
    except TalusError as error:
        path, _, text = str(error).partition(": ")
        return Finding(ok=False, path=path, text=text)
    client.on_connect = lambda *a: answers.put(f"refused: {a[3]}" if a[3].is_failure else "")
    try:
        client.connect(m.host, m.port, keepalive=max(5, int(wait_s) + 1))
    except (OSError, ValueError) as error:
        text = f"{where}: {error}: is the broker running, and this gateway on its network?"
        return Finding(ok=False, path="mqtt.host", text=text)
    client.loop_start()
    try:
        answer = answers.get(timeout=wait_s)
    except queue.Empty:
        answer = f"no answer within {wait_s:g} s: is this an MQTT broker, and TLS as it expects?"
    client.disconnect()
    client.loop_stop()
    if answer:
        return Finding(ok=False, path="mqtt", text=f"{where}: {answer}")
    tls = "TLS" if m.ca_file else "no TLS: set ca_file, cert_file and key_file before the field"
    return Finding(ok=True, path="mqtt", text=f"{where} accepts this gateway ({tls})")
