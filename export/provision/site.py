"""site.toml of a gateway to be provisioned: every mistake is named with its path."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from edge.fields import Mistakes, Table

if TYPE_CHECKING:
    from pathlib import Path

ARCHS = ("arm64", "amd64")
MAX_SITE_BYTES = 256 * 1024
MAX_KEYS = 32
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")
_KEY = re.compile(r"(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,3}( [ -~]*)?")
_TAKEN = {"root", "talus", "nobody", "daemon", "sys", "www-data"}


@dataclass(frozen=True, slots=True)
class Ethernet:
    """The cable: DHCP where ``address`` (with its prefix) is empty."""

    address: str
    router: str
    dns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wifi:
    """A network with WPA2 (or WPA2 and WPA3 mixed) and a password; open where that is empty.

    WPA3 alone wants the password itself, and that is not put on a card.
    """

    ssid: str
    password: str


@dataclass(frozen=True, slots=True)
class Cellular:
    """A mobile network, reached through a modem."""

    apn: str
    username: str
    password: str
    pin: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """By which files the broker is trusted and the gateway known: a token or a pair."""

    ca: Path
    token: Path | None
    certificate: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class Site:
    """One gateway, as the technician describes it."""

    name: str
    config: Path
    hostname: str
    arch: str
    timezone: str
    country: str
    user: str
    ssh_keys: tuple[str, ...]
    ethernet: Ethernet | None
    wifi: Wifi | None
    cellular: Cellular | None
    broker: Credentials | None


def example_text() -> str:
    """Return a commented site.toml."""
    return files("export.provision").joinpath("files/site.toml").read_text(encoding="utf-8")


def load_site(path: Path) -> Site:
    """Read site.toml. Raises ConfigError naming every mistake."""
    import tomllib

    mistakes = Mistakes(str(path))
    data: object = {}
    try:
        if path.stat().st_size > MAX_SITE_BYTES:
            mistakes.add("file", f"larger than {MAX_SITE_BYTES} bytes")
        else:
            data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        mistakes.add("file", f"cannot be read: {error.strerror or error}: "
                             "talus-export provision --example prints one")  # fmt: skip
    except (ValueError, RecursionError) as error:
        mistakes.add("file", f"not TOML: {error}")
    mistakes.raise_if_any()
    root = Table(data, "", mistakes)
    site = _site(root, path.resolve().parent)
    root.done()
    mistakes.raise_if_any()
    return site


def _site(root: Table, folder: Path) -> Site:
    gateway, login = root.table("gateway", required=True), root.table("login")
    name = _matched(gateway, "name", _NAME, "letters, digits, '_', '.', '-', 64 at most")
    default = name.lower().replace("_", "-").replace(".", "-")
    network = root.table("network")
    site = Site(
        name=name,
        config=_file(gateway, "config", folder) or folder,
        hostname=_matched(gateway, "hostname", _HOST, "small letters, digits, '-'", default),
        arch=gateway.text("arch", "arm64", choices=ARCHS),
        timezone=_matched(gateway, "timezone", _ZONE, "a name such as Europe/Oslo", "Etc/UTC"),
        country=_matched(gateway, "country", re.compile("[A-Z]{2}"), "two capital letters"),
        user=_user(login),
        ssh_keys=_keys(login),
        ethernet=_ethernet(network.table("ethernet")) if network.has("ethernet") else None,
        wifi=_wifi(network.table("wifi")) if network.has("wifi") else None,
        cellular=_cellular(network.table("cellular")) if network.has("cellular") else None,
        broker=_broker(root.table("broker"), folder) if root.has("broker") else None,
    )
    for table in (gateway, login, network):
        table.done()
    return site


def _matched(t: Table, key: str, form: re.Pattern[str], what: str, default: str = "") -> str:
    value = t.text(key, default) if default else t.text(key)
    if value and not form.fullmatch(value):
        t.wrong(key, f"{value!r}: {what}")
    return value


def _file(t: Table, key: str, folder: Path) -> Path | None:
    """Return a file that is there, None where the key is not."""
    text = t.text(key)
    path = folder / text
    if text and not path.is_file():
        t.wrong(key, f"{path}: there is no such file")
    return path if text else None


def _user(t: Table) -> str:
    user = _matched(t, "user", _USER, "small letters, digits, '-', '_'", "technician")
    if user in _TAKEN:
        t.wrong("user", f"{user!r} is a user of the system: choose another name")
    return user


def _keys(t: Table) -> tuple[str, ...]:
    keys = t.texts("ssh_keys", [])
    if len(keys) > MAX_KEYS:
        t.wrong("ssh_keys", f"{MAX_KEYS} at most")
    for i, key in enumerate(keys):
        if not _KEY.fullmatch(key):
            what = "the one line of a public key (id_ed25519.pub) is needed"
            t.mistakes.add(f"{t.at('ssh_keys')}[{i}]", what)
    return keys


def _ethernet(t: Table) -> Ethernet:
    found = Ethernet(t.text("address", ""), t.text("router", ""), t.texts("dns", []))
    if found.address:
        try:
            if "/" not in found.address:
                raise ValueError("with its prefix, such as 10.20.0.7/24")
            net = ipaddress.ip_interface(found.address).network
            if found.router and ipaddress.ip_address(found.router) not in net:
                t.wrong("router", f"{found.router} is not inside {net}")
        except ValueError as error:
            t.wrong("address", f"{found.address!r}: {error}")
    elif found.router or found.dns:
        t.wrong("address", "missing: router and dns go with it; DHCP brings its own")
    for i, each in enumerate(found.dns):
        try:
            ipaddress.ip_address(each)
        except ValueError:
            t.mistakes.add(f"{t.at('dns')}[{i}]", f"{each!r} is no address")
    t.done()
    return found


def _wifi(t: Table) -> Wifi:
    found = Wifi(t.text("ssid"), t.text("password", ""))
    if not 1 <= len(found.ssid.encode()) <= 32 or not found.ssid.isprintable():
        t.wrong("ssid", "1 to 32 printable characters")
    if found.password and not (8 <= len(found.password) <= 63 and found.password.isascii()
                               and found.password.isprintable()):  # fmt: skip
        t.wrong("password", "8 to 63 plain characters, or none for an open network")
    t.done()
    return found


def _cellular(t: Table) -> Cellular:
    found = Cellular(
        t.text("apn"), t.text("username", ""), t.text("password", ""), t.text("pin", "")
    )
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,100}", found.apn):
        t.wrong("apn", f"{found.apn!r}: letters, digits, '.', '-'")
    if not re.fullmatch(r"([0-9]{4,8})?", found.pin):
        t.wrong("pin", "4 to 8 digits, as a text")
    for key, value in (("username", found.username), ("password", found.password)):
        if not value.isprintable():
            t.wrong(key, "printable characters alone")
    t.done()
    return found


def _broker(t: Table, folder: Path) -> Credentials:
    found = Credentials(
        ca=_file(t, "ca", folder) or folder,
        token=_file(t, "token", folder) if t.has("token") else None,
        certificate=_file(t, "certificate", folder) if t.has("certificate") else None,
        key=_file(t, "key", folder) if t.has("key") else None,
    )
    if bool(found.certificate) != bool(found.key):
        t.wrong("key", "certificate and key go together")
    if bool(found.token) == bool(found.certificate):
        t.wrong("token", "either a token, or certificate and key")
    t.done()
    return found
