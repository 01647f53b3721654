"""The folder of a reference broker: each part of it goes to another machine.

``authority/`` stays off all of them; ``mosquitto/`` goes to the broker, ``gateways/NAME/`` to that
gateway, ``room/`` to the operations room.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from export.broker.authority import Authority, Pair
from export.broker.mosquitto import ROOM, acl_text, conf_text, snippet
from export.signing import put

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_PLAN = "broker.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a broker is like: kept in its folder, so that ``--renew`` need not be told again."""

    hosts: tuple[str, ...]
    port: int
    topic: str
    user: str
    place: str
    """Where ``mosquitto/`` will stand on the broker."""
    gateways: tuple[str, ...]


def make(out: Path, plan: Plan, days: int) -> None:
    """Make a broker's folder with a new CA. Raises TalusError, OSError."""
    _check(plan)
    if out.exists() and any(out.iterdir()):
        raise TalusError(f"{out}: is not empty: --renew for a broker that is there already")
    authority = Authority.make(f"Talus CA of {plan.hosts[0]}"[:64])
    folder = _folder(out / "authority", 0o700)
    put(folder, {"ca.key": authority.pair.key}, 0o600)
    put(folder, {"ca.crt": authority.pair.certificate}, 0o644)
    _write(out, plan, authority, days, plan.gateways, everything=True)


def renew(out: Path, more: Sequence[str], days: int) -> Plan:
    """Sign anew with the CA that is there: the gateways named, or all and the broker itself."""
    plan = read_plan(out)
    names = tuple(more) or plan.gateways
    known = tuple(sorted({*plan.gateways, *names}))
    plan = Plan(plan.hosts, plan.port, plan.topic, plan.user, plan.place, known)
    _check(plan)
    folder = out / "authority"
    authority = Authority(Pair((folder / "ca.key").read_bytes(), (folder / "ca.crt").read_bytes()))
    _write(out, plan, authority, days, names, everything=not more)
    return plan


def read_plan(out: Path) -> Plan:
    """Read what the broker in a folder is like. Raises TalusError."""
    try:
        values: dict[str, Any] = json.loads((out / _PLAN).read_text(encoding="utf-8"))
        values |= {key: tuple(values[key]) for key in ("hosts", "gateways")}
        plan = Plan(**values)
        _check(plan)
    except OSError as error:
        raise TalusError(f"{out / _PLAN}: {error.strerror}: no broker was made there") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TalusError(f"{out / _PLAN}: not what this command writes: {error}") from error
    return plan


def _check(plan: Plan) -> None:
    for gateway in plan.gateways:
        if not _NAME.fullmatch(gateway) or gateway.strip(".") == "":
            raise TalusError(f"--gateway {gateway!r}: letters, digits, '_', '.', '-', 64 at most")
        if gateway == ROOM:
            raise TalusError(f"--gateway {ROOM}: that is the operations room")
    if len(set(plan.gateways)) < len(plan.gateways):
        raise TalusError("--gateway: a name stands there twice")
    for host in plan.hosts:
        if not _HOST.fullmatch(host):
            raise TalusError(f"--host {host!r}: a host name or an address")
    if not plan.hosts or not plan.gateways:
        raise TalusError("at least one --host and one --gateway are needed")
    if not all(_NAME.fullmatch(level) for level in plan.topic.split("/")):
        raise TalusError(f"--topic {plan.topic!r}: a plain prefix such as talus")
    if not _NAME.fullmatch(plan.user) or not re.fullmatch(r"/[\w./-]*", plan.place):
        raise TalusError("--user, --place: a user name, and a whole path without blanks")


def _folder(path: Path, mode: int) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def _write(
    out: Path,
    plan: Plan,
    authority: Authority,
    days: int,
    names: Sequence[str],
    *,
    everything: bool,
) -> None:
    ca = authority.pair.certificate
    for gateway in names:
        folder = _folder(out / "gateways" / gateway, 0o700)
        table = snippet(gateway, plan.hosts[0], plan.port, plan.topic)
        _pair(folder, "gateway", authority.client(gateway, days), ca)
        put(folder, {"mqtt.toml": table.encode()}, 0o644)
    if everything:
        _pair(_folder(out / "room", 0o700), ROOM, authority.client(ROOM, days), ca)
        folder = _folder(out / "mosquitto", 0o755)
        _pair(folder, "server", authority.server(plan.hosts, days), ca)
        _folder(folder / "data", 0o700)
        place = Path(plan.place)
        text = conf_text(place, place / "data", plan.port, plan.user)
        put(folder, {"mosquitto.conf": text.encode()}, 0o644)
    acl = acl_text(plan.topic, plan.gateways)
    put(out / "mosquitto", {"acl": acl.encode()}, 0o600)  # mosquitto wants it unread by others
    put(out, {_PLAN: (json.dumps(asdict(plan), indent=1) + "\n").encode()}, 0o644)


def _pair(folder: Path, name: str, pair: Pair, ca: bytes) -> None:
    put(folder, {f"{name}.key": pair.key}, 0o600)
    put(folder, {f"{name}.crt": pair.certificate, "ca.crt": ca}, 0o644)
