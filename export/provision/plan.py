"""Whether site, configuration, bundles, package and credentials fit each other: before any write.

What is found here is found at a desk; what is not, on a slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from edge.bundle import read_manifest
from edge.config import load_config
from edge.errors import TalusError
from edge.fields import Mistakes
from export.package.deb import NAME
from export.provision.deb import check_deb, read_deb
from export.provision.firstboot.card import Copy, Trusted
from export.provision.firstboot.place import ALLOWED
from export.provision.firstboot.request import RequestError, parse_ticket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edge.config import Config
    from export.provision.deb import Deb
    from export.provision.site import Credentials, Site

ETC, DATA = PurePosixPath("/etc/talus"), PurePosixPath("/var/lib/talus")
_STOCK = frozenset({"python3", "libc6", "libstdc++6", "libgcc-s1", "passwd", "systemd", "openssl"})
"""Packages that every system for which cards are written has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that goes onto a card. ``bundles``: path on the gateway to folder here.

    ``debs``: Talus first, then what it needs. ``notes``: what may be meant so, and is told.
    """

    site: Site
    debs: tuple[tuple[Path, Deb], ...]
    bundles: dict[str, Path]
    tls: Trusted | None
    suite: str
    notes: tuple[str, ...] = ()

    @property
    def package(self) -> Deb:
        """Return the package that is Talus; others are what it needs."""
        return self.debs[0][1]

    def copies(self) -> tuple[Copy, ...]:
        """Return what is copied where: configuration first, then each bundle."""
        found = [Copy("gateway.toml", str(ETC / "gateway.toml"), 0o640)]
        found += [Copy(f"bundle/{i}", to, 0o640) for i, to in enumerate(sorted(self.bundles))]
        return tuple(found)


def make_plan(
    site: Site, debs: Sequence[Path], bundles: Mapping[str, Path], suite: str, now_s: float
) -> Plan:
    """Check all against all. ``bundles``: station ("" for all) to folder. Raises TalusError."""
    config = load_config(site.config)
    mistakes = Mistakes(str(site.config))
    if config.name != site.name:
        mistakes.add("gateway.name", f"{config.name!r}, but site.toml is of {site.name!r}")
    data = PurePosixPath(config.data_dir)
    if not data.is_relative_to(DATA) or ".." in data.parts:
        mistakes.add("gateway.data_dir", f'must be "{DATA}": the data partition')
    found = _bundles(config, bundles, mistakes)
    tls = _tls(config, site.broker, mistakes)
    mistakes.raise_if_any()
    read = tuple(sorted(((p, read_deb(p)) for p in debs), key=lambda each: each[1].package != NAME))
    if not read or read[0][1].package != NAME:
        raise TalusError(f"--deb: {NAME} is needed: talus-export deb makes it")
    for path, deb in read:
        check_deb(deb, path, site.arch, suite)
    for path in found.values():
        read_manifest(path, config.trust)  # signed by whom this gateway trusts, and whole
    if site.broker is not None:
        _check_credentials(site.broker, site.name, config, now_s)
    return Plan(site, read, found, tls, suite, tuple(_notes(site, read, config)))


def _notes(site: Site, debs: Sequence[tuple[Path, Deb]], config: Config) -> Iterator[str]:
    """Tell of what looks like a mistake, and can be none."""
    if not site.ssh_keys:
        yield "[login] has no ssh_keys and there is no password: nobody will be able to log in"
    given = _STOCK | {deb.package for _, deb in debs}
    lacks = sorted({name for _, deb in debs for name in deb.needs} - given)
    if lacks:
        yield (f"{', '.join(lacks)}: needed, and no --deb brings it: the first boot installs "
               "without network, and stops there unless the OS has it")  # fmt: skip
    token = site.broker.token if site.broker else None
    hosts = [each.host for each in config.mqtt.brokers]
    if token is not None and (host := parse_ticket(token.read_bytes()).host) not in hosts:
        yield f"{token}: asks {host}, gateway.toml talks to {', '.join(hosts)}"


def _bundles(config: Config, given: Mapping[str, Path], mistakes: Mistakes) -> dict[str, Path]:
    found: dict[str, Path] = {}
    names = {station.name for station in config.stations}
    for name in given:
        if name and name not in names:
            mistakes.add("station", f"--bundle {name}=...: there is no such station")
    for i, station in enumerate(config.stations):
        folder = given.get(station.name) or given.get("")
        if not station.bundle:
            continue
        if folder is None:
            mistakes.add(f"station[{i}].bundle", f"--bundle {station.name}=FOLDER is missing")
            continue
        to = _target(f"station[{i}].bundle", station.bundle, mistakes)
        if found.setdefault(to, folder) != folder:
            mistakes.add(f"station[{i}].bundle", f"{to} is also another station's bundle")
    return found


def _target(path: str, text: str, mistakes: Mistakes) -> str:
    """Return where on the gateway a path of gateway.toml is."""
    to = str(ETC / text)
    if ".." in to.split("/") or not to.startswith(ALLOWED):
        mistakes.add(path, f"{text!r}: must be below {' or '.join(ALLOWED)}")
    return to


def _tls(config: Config, broker: Credentials | None, mistakes: Mistakes) -> Trusted | None:
    m = config.mqtt
    keys = ("ca_file", "cert_file", "key_file")
    if broker is None:
        if any(getattr(m, key) for key in keys):
            mistakes.add("mqtt.ca_file", "site.toml has no [broker] to say where it comes from")
        return None
    for key in keys:
        if not getattr(m, key):
            mistakes.add(f"mqtt.{key}", f'missing: such as "tls/{_NAMES[key]}"; site.toml has a CA')
    for other in m.brokers:
        if other.password_file:
            mistakes.add(f"{other.path}.password_file", "a card brings certificates, no passwords")
        for key in keys:
            if getattr(other, key) != getattr(m, key):
                mistakes.add(f"{other.path}.{key}", "a card brings one set of certificates")
    ca, cert, key = (_target(f"mqtt.{k}", getattr(m, k) or "x", mistakes) for k in keys)
    return Trusted(ca, cert, key, made=broker.certificate is not None)


_NAMES = {"ca_file": "ca.crt", "cert_file": "gateway.crt", "key_file": "gateway.key"}


def _check_credentials(broker: Credentials, name: str, config: Config, now_s: float) -> None:
    try:
        ca = x509.load_pem_x509_certificate(broker.ca.read_bytes())
    except ValueError as error:
        raise TalusError(f"{broker.ca}: not a certificate (PEM): {error}") from error
    if broker.token is not None:
        _check_token(broker.token, name, config, now_s)
    if broker.certificate is None or broker.key is None:
        return
    try:
        cert = x509.load_pem_x509_certificate(broker.certificate.read_bytes())
        key = serialization.load_pem_private_key(broker.key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise TalusError(f"{broker.certificate}, {broker.key}: {error}") from error
    if key.public_key() != cert.public_key():
        raise TalusError(f"{broker.key}: not the key of {broker.certificate}")
    whose = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [each.value for each in whose] != [name]:
        raise TalusError(f"{broker.certificate}: is not the certificate of {name!r}")
    try:
        cert.verify_directly_issued_by(ca)
    except Exception as error:  # one of several kinds, each of them: not signed by it
        raise TalusError(f"{broker.certificate}: was not signed by {broker.ca}") from error
    if cert.not_valid_after_utc.timestamp() < now_s:
        raise TalusError(f"{broker.certificate}: has expired: talus-export broker --renew")


def _check_token(path: Path, name: str, config: Config, now_s: float) -> None:
    try:
        ticket = parse_ticket(path.read_bytes())
    except RequestError as error:
        raise TalusError(f"{path}: {error}: talus-export enrol --token {name}") from error
    if ticket.gateway != name:
        raise TalusError(f"{path}: the token is for {ticket.gateway!r}, not for {name!r}")
    if ticket.topic != config.mqtt.topic:
        raise TalusError(f"{path}: is for topic {ticket.topic!r}, gateway.toml says "
                         f"{config.mqtt.topic!r}")  # fmt: skip
    if ticket.expires_s < now_s:
        raise TalusError(f"{path}: the token has expired: talus-export enrol --token {name}")
