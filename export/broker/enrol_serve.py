"""Listens on the broker for gateways that ask for a certificate, and answers each."""

from __future__ import annotations

import queue
import ssl
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import TalusError
from export.broker.enrol import answer, read_tokens
from export.broker.mosquitto import ENROL
from export.broker.write import NAME, read_plan
from export.provision.firstboot.request import MAX_BYTES, answer_bytes, topic_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from export.broker.write import Plan

MAX_WAITING = 256
"""Requests not yet looked at; beyond that they are dropped, and the gateways ask again."""
_TURN_S = 0.5


def serve(
    out: Path, host: str, port: int, days: int, *, once: bool, told: Callable[[str], None]
) -> None:
    """Answer until stopped, or with ``once`` until one certificate was signed.

    Once this was there a first time the broker keeps requests while it is away: they are answered
    when it is back. Raises TalusError, OSError.
    """
    plan = read_plan(out)
    read_tokens(out)  # says so where no token was made yet
    host, port = host or plan.hosts[0], port or plan.port
    waiting: queue.Queue[tuple[str, bytes]] = queue.Queue(MAX_WAITING)
    refused: queue.SimpleQueue[str] = queue.SimpleQueue()
    client = _client(out, plan, waiting, refused, told)
    try:
        client.connect(host, port, keepalive=60)
    except (OSError, ValueError) as error:
        raise TalusError(f"{host}:{port}: {error}: is the broker running, and was it started "
                         "again after the first token?") from error  # fmt: skip
    client.loop_start()
    try:
        while True:
            if not refused.empty():
                raise TalusError(f"{host}:{port}: refused: {refused.get()}: copy mosquitto/acl "
                                 "to the broker")  # fmt: skip
            try:
                gateway, payload = waiting.get(timeout=_TURN_S)
            except queue.Empty:
                continue
            if _one(client, out, plan, gateway, payload, days, told) and once:
                return
    finally:
        client.disconnect()
        client.loop_stop()


def _one(
    client: mqtt.Client, out: Path, plan: Plan, gateway: str, payload: bytes, days: int,
    told: Callable[[str], None],
) -> bool:  # fmt: skip
    """Answer one request; whether a certificate went out. Kept there for who asks again later."""
    found = answer(out, gateway, payload, days, time.time())
    topic = f"{topic_of(plan.topic, gateway)}/certificate"
    info = client.publish(topic, answer_bytes(found), qos=1, retain=bool(found.certificate))
    info.wait_for_publish(timeout=30)
    told(f"{gateway}: " + (f"refused: {found.refused}" if found.refused else "certificate signed"))
    return bool(found.certificate)


def _client(
    out: Path,
    plan: Plan,
    waiting: queue.Queue[tuple[str, bytes]],
    refused: queue.SimpleQueue[str],
    told: Callable[[str], None],
) -> mqtt.Client:
    folder = out / ENROL
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / f"{ENROL}.crt", folder / f"{ENROL}.key")
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, "talus-export-enrol", clean_session=False,
        protocol=mqtt.MQTTv311,
    )  # fmt: skip
    client.tls_set_context(context)

    def connected(*said: Any) -> None:
        if said[3].is_failure:
            refused.put(str(said[3]))
            return
        client.subscribe(f"{plan.topic}/{ENROL}/+", qos=1)

    def subscribed(*said: Any) -> None:
        if said[3][0].is_failure:
            refused.put(str(said[3][0]))
        else:
            told("waiting for gateways that ask for their certificate; Ctrl-C ends it")

    def heard(*said: Any) -> None:
        message: mqtt.MQTTMessage = said[2]
        gateway = message.topic.rsplit("/", 1)[-1]
        if len(message.payload) <= MAX_BYTES and NAME.fullmatch(gateway) and not waiting.full():
            waiting.put_nowait((gateway, bytes(message.payload)))

    client.on_connect = connected
    client.on_subscribe = subscribed
    client.on_message = heard
    return client
