"""Ask for the certificate over MQTT, with TLS; paho comes with the package just installed."""

from __future__ import annotations

import queue
import ssl
import sys
from typing import TYPE_CHECKING, Any

from export.provision.firstboot.identity import WaitsError
from export.provision.firstboot.place import StepError
from export.provision.firstboot.request import (
    RequestError,
    broker_word,
    csr_name,
    parse_answer,
    request_bytes,
    topic_of,
)

if TYPE_CHECKING:
    from export.provision.firstboot.place import Place
    from export.provision.firstboot.request import Ticket

LIBRARY = "/opt/talus/current/lib"
WAIT_S = 30.0
_SIGNER = "is talus-export enrol --serve running?"
_REACH = "nothing, if the network comes later; else: antenna, SIM card, host and port of the broker"


def ask(place: Place, ticket: Ticket, csr: bytes, ca: str, wait_s: float = WAIT_S) -> str:
    """Return the signed certificate. Raises WaitsError to be tried again, StepError."""
    client = _client(place, ticket, ca)
    heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    topic = topic_of(ticket.topic, ticket.gateway)
    client.on_connect = lambda c, u, f, reason, p: heard.put(("connected", reason))
    client.on_subscribe = lambda c, u, mid, reasons, p: heard.put(("listening", reasons[0]))
    client.on_message = lambda c, u, message: heard.put(("answer", message.payload))
    try:
        client.connect(ticket.host, ticket.port, keepalive=30)
    except ssl.SSLCertVerificationError as error:
        what = f"not the broker that the card knows: {error.verify_message}"
        raise WaitsError(
            what, "is the CA of the card the broker's, and the clock right?"
        ) from error
    except (OSError, ValueError) as error:
        raise WaitsError(f"{ticket.host}:{ticket.port}: {error}", _REACH) from error
    client.loop_start()
    try:
        _expect(heard, "connected", wait_s)
        client.subscribe(f"{topic}/certificate", qos=1)
        _expect(heard, "listening", wait_s)
        client.publish(topic, request_bytes(ticket, csr), qos=1)
        return _answer(heard, csr, wait_s)
    finally:
        client.disconnect()
        client.loop_stop()


def _client(place: Place, ticket: Ticket, ca: str) -> Any:
    sys.path.insert(0, str(place.at(LIBRARY)))
    try:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise StepError(f"the package brings no MQTT: {error}", "write the card again") from error
    finally:
        sys.path.pop(0)
    client = Client(
        CallbackAPIVersion.VERSION2, f"enrol-{ticket.gateway}", protocol=MQTTv5,
        reconnect_on_failure=False,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the name and the chain
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca)
    client.tls_set_context(context)
    client.username_pw_set(f"enrol/{ticket.gateway}", broker_word(ticket.token))
    return client


def _expect(heard: queue.SimpleQueue[tuple[str, Any]], wanted: str, wait_s: float) -> None:
    try:
        what, reason = heard.get(timeout=wait_s)
    except queue.Empty:
        raise WaitsError("the broker does not answer", _REACH) from None
    if what != wanted or reason.is_failure:
        what = f"the broker refuses the token: {reason}"
        raise WaitsError(what, "was the broker told of it (talus-export enrol says how)?")


def _answer(heard: queue.SimpleQueue[tuple[str, Any]], csr: bytes, wait_s: float) -> str:
    """Wait for the answer to this request; one to an earlier request may be kept there."""
    while True:
        try:
            what, payload = heard.get(timeout=wait_s)
        except queue.Empty:
            raise WaitsError("nobody has signed it yet", _SIGNER) from None
        if what != "answer":
            raise WaitsError("the broker hung up", _SIGNER)
        try:
            answer = parse_answer(payload)
        except RequestError:
            continue
        if answer.request and answer.request != csr_name(csr):
            continue
        if answer.refused:
            said = "".join(c if c.isprintable() else "?" for c in answer.refused[:200])
            raise StepError(f"refused: {said}", "talus-export enrol --token NAME makes a new one")
        return answer.certificate
