"""Whether a broker takes this gateway: tried as the gateway would, with what to do if not."""

from __future__ import annotations

import queue
import ssl
from typing import TYPE_CHECKING

from edge.errors import TalusError
from edge.finding import Finding
from edge.mqtt_client import make_client

if TYPE_CHECKING:
    from edge.config import Config
    from edge.parse_mqtt import Broker


def try_broker(config: Config, broker: Broker, wait_s: float) -> Finding:
    """Connect as the gateway would, and leave again."""
    where = broker.where
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    try:
        client = make_client(config.mqtt, config.folder, f"talus-{config.name}-check", broker)
    except TalusError as error:
        path, _, text = str(error).partition(": ")
        return Finding(ok=False, path=path, text=text)
    client.on_connect = lambda *a: answers.put(_refused(a[3]) if a[3].is_failure else "")
    client.on_disconnect = lambda *a: answers.put(_hung_up(broker))
    try:
        client.connect(broker.host, broker.port, keepalive=max(5, int(wait_s) + 1))
    except ssl.SSLCertVerificationError as error:
        text = (
            f"{where}: the broker's certificate: {error.verify_message.rstrip('.')}: is this its "
            "CA, is host the name in its certificate, and is the clock of this gateway right?"
        )
        return Finding(ok=False, path=f"{broker.path}.ca_file", text=text)
    except ssl.SSLError as error:
        text = f"{where}: TLS: {error.reason or error}: is this the TLS port of the broker?"
        return Finding(ok=False, path=f"{broker.path}.port", text=text)
    except (OSError, ValueError) as error:
        text = f"{where}: {error}: is the broker running, and this gateway on its network?"
        return Finding(ok=False, path=f"{broker.path}.host", text=text)
    client.loop_start()
    try:
        answer = answers.get(timeout=wait_s)
    except queue.Empty:
        answer = f"no answer within {wait_s:g} s: is this an MQTT broker?"
    client.on_disconnect = None
    client.disconnect()
    client.loop_stop()
    if answer:
        return Finding(ok=False, path=broker.path, text=f"{where}: {answer}")
    tls = (
        "TLS" if broker.ca_file else "no TLS: set ca_file, cert_file and key_file before the field"
    )
    return Finding(ok=True, path=broker.path, text=f"{where} accepts this gateway ({tls})")


def _refused(reason: object) -> str:
    what = "is mqtt.username right, what password_file holds, and the broker's list of clients?"
    return f"refused: {reason}: {what}"


def _hung_up(m: Broker) -> str:
    """Say what a connection that ends without an answer most often means."""
    if not m.ca_file:
        return "the broker hung up: does this port want TLS? (mqtt.ca_file)"
    if not m.cert_file:
        return "the broker hung up: does it want a certificate? (mqtt.cert_file and key_file)"
    return "the broker hung up: was mqtt.cert_file signed by a CA that it knows, and still valid?"
