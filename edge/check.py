"""``talus check``: is everything there that ``talus run`` needs? One line a finding."""

from __future__ import annotations

import os
import queue
import shutil
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bundles import open_bundles
from edge.counters import read_counters
from edge.errors import ConfigError, TalusError
from edge.heard import listen
from edge.runtime import installed
from edge.trust import NO_TRUST, signature_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.bundle import Bundle
    from edge.config import Config
    from edge.parse_mqtt import MqttConfig

MIN_FREE_MB = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``path`` in the TOML, and what is wrong with it and what to do.

    ``sure`` is False where only a person can tell, as with a line on which nothing came.
    """

    ok: bool
    path: str
    text: str
    sure: bool = True


def check(
    config_path: Path, *, listen_s: float = 3.0, broker_wait_s: float = 5.0
) -> Iterator[Finding]:
    """Look at configuration, runtimes, bundles, ports, disk and broker."""
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
    yield _broker(config, broker_wait_s)


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
    client.on_connect = lambda *a: answers.put(_refused(a[3]) if a[3].is_failure else "")
    client.on_disconnect = lambda *a: answers.put(_hung_up(m))
    try:
        client.connect(m.host, m.port, keepalive=max(5, int(wait_s) + 1))
    except ssl.SSLCertVerificationError as error:
        text = (
            f"{where}: the broker's certificate: {error.verify_message.rstrip('.')}: is this its "
            "CA, is host the name in its certificate, and is the clock of this gateway right?"
        )
        return Finding(ok=False, path="mqtt.ca_file", text=text)
    except ssl.SSLError as error:
        text = f"{where}: TLS: {error.reason or error}: is this the TLS port of the broker?"
        return Finding(ok=False, path="mqtt.port", text=text)
    except (OSError, ValueError) as error:
        text = f"{where}: {error}: is the broker running, and this gateway on its network?"
        return Finding(ok=False, path="mqtt.host", text=text)
    client.loop_start()
    try:
        answer = answers.get(timeout=wait_s)
    except queue.Empty:
        answer = f"no answer within {wait_s:g} s: is this an MQTT broker?"
    client.on_disconnect = None
    client.disconnect()
    client.loop_stop()
    if answer:
        return Finding(ok=False, path="mqtt", text=f"{where}: {answer}")
    tls = "TLS" if m.ca_file else "no TLS: set ca_file, cert_file and key_file before the field"
    return Finding(ok=True, path="mqtt", text=f"{where} accepts this gateway ({tls})")


def _refused(reason: object) -> str:
    what = "is mqtt.username right, what password_file holds, and the broker's list of clients?"
    return f"refused: {reason}: {what}"


def _hung_up(m: MqttConfig) -> str:
    """Say what a connection that ends without an answer most often means."""
    if not m.ca_file:
        return "the broker hung up: does this port want TLS? (mqtt.ca_file)"
    if not m.cert_file:
        return "the broker hung up: does it want a certificate? (mqtt.cert_file and key_file)"
    return "the broker hung up: was mqtt.cert_file signed by a CA that it knows, and still valid?"
