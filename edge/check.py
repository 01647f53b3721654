"""``talus check``: is everything there that ``talus run`` needs? One line a finding."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from edge.bundles import open_bundles
from edge.check_broker import try_broker
from edge.check_remote import check_remote
from edge.check_second import check_second_path
from edge.counters import read_counters
from edge.errors import ConfigError
from edge.finding import Finding
from edge.heard import listen
from edge.runtime import installed
from edge.trust import NO_TRUST, signature_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.bundle import Bundle
    from edge.config import Config

MIN_FREE_MB = 64


def check(
    config_path: Path, *, listen_s: float = 3.0, broker_wait_s: float = 5.0
) -> Iterator[Finding]:
    """Look at configuration, runtimes, bundles, ports, disk, broker, and the second path."""
    from edge.config import load_config

    try:
        config = load_config(config_path)
    except ConfigError as error:
        for mistake in error.mistakes:
            path, _, text = mistake.partition(": ")
            path = str(config_path) if path == "file" else path
            yield Finding(ok=False, path=path, text=text)
        return
    size = f"{_count(config.ports, 'port')}, {_count(config.stations, 'station')}"
    yield Finding(ok=True, path=str(config_path), text=size)
    yield _runtimes()
    yield _trust(config)
    yield from _bundles(config)
    yield from _ports(config, listen_s)
    yield _disk(config)
    yield from _capture(config)
    for broker in config.mqtt.brokers:
        yield try_broker(config, broker, broker_wait_s)
    yield from check_remote(config, config_path)
    yield from check_second_path(config)


def _runtimes() -> Finding:
    found = installed()
    if not found:
        text = "no inference runtime is installed: pip install ai-edge-litert"
        return Finding(ok=False, path="runtime", text=text)
    return Finding(ok=True, path="runtime", text=", ".join(found))


def _trust(config: Config) -> Finding:
    keys = config.trust.keys
    if config.trust.allow_unsigned:
        text = "allow_unsigned: any bundle is armed: put keys there before the field"
        return Finding(ok=True, path="trust", text=text)
    if not keys:
        return Finding(ok=False, path="trust", text=NO_TRUST.removeprefix("not armed: "))
    _, wrong = read_counters(config.data_dir)
    if wrong:
        return Finding(ok=False, path="trust", text=f"{wrong}: the next talus run begins it anew")
    text = f"{_count(keys, 'key')}: {', '.join(key.id for key in keys)}"
    return Finding(ok=True, path="trust", text=text)


def _bundles(config: Config) -> Iterator[Finding]:
    opened = open_bundles(config)
    for i, station in enumerate(config.stations):
        path = f"station[{i}].bundle"
        if not station.bundle:
            text = "names no bundle, so nothing is watched: make one with talus-export train"
            yield Finding(ok=False, path=path, text=text)
            continue
        bundle = opened[station.name]
        if isinstance(bundle, str):
            yield Finding(ok=False, path=path, text=bundle)
            continue
        loaded = bundle.forecaster
        text = (
            f"{bundle.manifest.label}, {signature_text(bundle.signer)}: {loaded.artifact.file} "
            f"in {loaded.runtime}, golden outputs met within {loaded.golden_error:.2g}; "
            f"{_armed(bundle)}"
        )
        yield Finding(ok=True, path=path, text=text)


def _armed(bundle: Bundle) -> str:
    m = bundle.manifest
    models = [("gru", m.forecaster.armed), *((d.name, d.armed) for d in m.detectors)]
    armed = [name for name, is_armed in models if is_armed]
    shadow = [name for name, is_armed in models if not is_armed]
    return f"armed: {', '.join(['velocity', *armed])}; in shadow: {', '.join(shadow) or 'none'}"


def _ports(config: Config, listen_s: float) -> Iterator[Finding]:
    for i, (each, heard) in enumerate(listen(config.ports, listen_s)):
        device = heard.device if heard.opened else each.device
        text = f"{device}: {heard.text(each, listen_s)}"
        yield Finding(
            heard.opened and not heard.garbled, f"port[{i}].device", text, heard.readings > 0
        )


def _disk(config: Config) -> Finding:
    path, folder = "gateway.data_dir", config.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        user = os.environ.get("USER", "this user")
        return Finding(ok=False, path=path, text=f"{folder}: {user} cannot write there")
    if config.data_dir.is_dir():
        for each in sorted(config.data_dir.iterdir()):
            if each.is_file() and not os.access(each, os.W_OK):
                text = f"{each}: belongs to {each.owner()} and cannot be written: chown it"
                return Finding(ok=False, path=path, text=text)
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < MIN_FREE_MB:
        return Finding(ok=False, path=path, text=f"{folder}: {free_mb} MB free: make room")
    return Finding(ok=True, path=path, text=f"{config.data_dir}, {free_mb} MB free")


def _capture(config: Config) -> Iterator[Finding]:
    folder = (config.data_dir / config.capture).parent
    if config.capture and folder != config.data_dir and not folder.is_dir():
        yield Finding(ok=False, path="gateway.capture", text=f"{folder}: no such folder; make it")


def _count(some: tuple[object, ...], word: str) -> str:
    return f"{len(some)} {word}{'' if len(some) == 1 else 's'}"
