"""The way to the operations room: brokers that answer, and certificates that go on holding."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

from edge.check_broker import try_broker
from edge.doctor_diagnosis import FAULT, OK, SKIPPED, UNSURE, WARN, Diagnosis, split_fix
from edge.errors import TalusError
from edge.mqtt_dates import MAX_CERT_BYTES, Validity, date_text, validity, validity_of_pem
from edge.mqtt_tls import own_validity, tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.config import Config
    from edge.parse_mqtt import Broker

SOON_DAYS = 30
_DAY_S = 86_400.0
_RENEW = "make a new one now (talus-export broker) and bring it here before that day"


def broker(config: Config, wait_s: float) -> Iterator[Diagnosis]:
    """Try each broker as the gateway would. One of several that answers is enough."""
    found = [(each, try_broker(config, each, wait_s)) for each in config.mqtt.brokers]
    some = any(finding.ok for _, finding in found)
    for each, finding in found:
        text = finding.text.removeprefix(f"{each.where}: ").removeprefix(f"{each.where} ")
        if finding.ok:
            state = OK if each.ca_file else WARN
            text, fix = (text, "") if each.ca_file else _plain(text)
            yield Diagnosis("broker", each.where, state, text, fix, gate=True)
        else:
            text, fix = split_fix(text, f"mend {finding.path} in the configuration")
            yield Diagnosis("broker", each.where, WARN if some else FAULT, text, fix, gate=True)


def _plain(text: str) -> tuple[str, str]:
    what = text.partition(" (")[0]
    return (
        f"{what}, without TLS: anybody on the way can read and change what is said",
        "set ca_file, cert_file and key_file in [mqtt] before the field",
    )


def certificates(config: Config, wait_s: float) -> Iterator[Diagnosis]:
    """Say until when every certificate holds: our own, the CA's, and each broker's."""
    secured = [each for each in config.mqtt.brokers if each.ca_file]
    if not secured:
        yield Diagnosis("certificates", "", SKIPPED, "no broker is reached with TLS")
    seen: set[str] = set()
    for each in secured:
        for name in (each.cert_file, each.ca_file):
            if name and name not in seen:
                seen.add(name)
                own = name == each.cert_file
                dates = own_validity(each, config.folder) if own else _of(config.folder / name)
                yield _judge(name, dates)
        dates = _served(each, config.folder, wait_s)
        if dates is not None:  # what keeps it from answering is said of the broker
            yield _judge(f"of {each.where}", dates)


def _of(path: Path) -> Validity | None:
    try:
        with path.open("rb") as file:
            return validity_of_pem(file.read(MAX_CERT_BYTES))
    except OSError:
        return None


def _served(broker: Broker, folder: Path, wait_s: float) -> Validity | None:
    """Return how long the certificate holds that a broker shows; it is trusted, or none comes."""
    try:
        context = tls_context(broker, folder)
        if context is None:
            return None
        with (
            socket.create_connection((broker.host, broker.port), wait_s) as plain,
            context.wrap_socket(plain, server_hostname=broker.host) as peer,
        ):
            return validity(peer.getpeercert(binary_form=True) or b"")
    except (OSError, ssl.SSLError, ValueError, TalusError):
        return None


def _judge(name: str, dates: Validity | None) -> Diagnosis:
    if dates is None:
        text = "cannot be read as a certificate"
        fix = "run this as the user of the gateway, or bring the file here again"
        return Diagnosis("certificates", name, UNSURE, text, fix)
    now_s = time.time()
    days = (dates.ends_s - now_s) / _DAY_S
    until = date_text(dates.ends_s)
    if days <= 0:
        text = f"expired on {until}"
        fix = "make a new one (talus-export broker); or set the clock, if that is what is wrong"
        return Diagnosis("certificates", name, FAULT, text, fix, days, "d")
    if now_s < dates.begins_s:
        text = f"is not valid before {date_text(dates.begins_s)}"
        fix = "set the clock of this gateway"
        return Diagnosis("certificates", name, FAULT, text, fix, days, "d")
    if days < SOON_DAYS:
        text = f"ends in {days:.0f} days, on {until}"
        return Diagnosis("certificates", name, WARN, text, _RENEW, days, "d")
    return Diagnosis("certificates", name, OK, f"holds until {until}", value=days, unit="d")
