"""What is to be found inside of a gateway that enrolled: asked of it, and of its card."""

from __future__ import annotations

import json
import mmap
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from flash_vm import Vm

SLOW_S = 600.0
"""How long a program inside may take, where the processor is emulated."""
_STEP = re.compile(r"(?m)^(\S[^:\n]*?) +(ok|WAITS|WRONG) +(.*)$")
STEPS = ("card", "data", "network", "package", "settings", "key", "service", "clock", "broker",
         "secrets")  # fmt: skip
_OWNERS = {
    "/etc/talus/tls/gateway.key": "talus talus 600",
    "/etc/talus/tls/gateway.crt": "talus talus 644",
    "/run/talus": "talus talus 700",
    "/var/lib/talus": "talus talus 750",
    "/etc/talus/gateway.toml": "root talus 640",
}
"""Whose what is, and who may read it."""


def asked(vm: Vm, command: str) -> str:
    """Run a command inside once, however long it takes. Raises RuntimeError."""
    said = vm.ask(command, SLOW_S)
    if said is None:
        raise RuntimeError(f"no answer within {SLOW_S:.0f} s: {command}")
    return said.strip()


def status_wrongs(text: str, steps: tuple[str, ...] = STEPS) -> list[str]:
    """Return what talus-status.txt does not say to be ok."""
    found = {step: (state, said) for step, state, said in _STEP.findall(text)}
    wrongs = [f"{step}: {state} {said}" for step, (state, said) in found.items() if state != "ok"]
    return wrongs + [f"{step}: not told" for step in steps if step not in found]


def wrongs(vm: Vm) -> list[str]:
    """Return what is not as it is to be: owners, the unit, the certificate, secrets, failures."""
    found = []
    for path, wanted in _OWNERS.items():
        said = asked(vm, f"stat -c '%U %G %a' {path}")
        found += [] if said == wanted else [f"{path}: {said}, and not {wanted}"]
    unit = asked(vm, "systemctl show talus -p RuntimeDirectory,User,ActiveState,NRestarts")
    print(unit)
    for wanted in ("RuntimeDirectory=talus", "User=talus", "ActiveState=active", "NRestarts=0"):
        found += [] if wanted in unit.splitlines() else [f"talus.service: not {wanted}"]
    path = asked(
        vm, "systemctl is-active talus-update.path; systemctl is-enabled talus-update.path"
    )
    found += [] if path.split() == ["active", "enabled"] else [f"talus-update.path: {path}"]
    signer = asked(vm, "openssl x509 -in /etc/talus/tls/gateway.crt -noout -subject -issuer")
    print(signer)
    by_ours = "issuer=CN=TalusCA" in signer.replace(" ", "")  # one OpenSSL puts spaces there
    found += [] if by_ours else [f"certificate: {signer}"]
    keys = asked(vm, "grep -rl 'PRIVATE KEY' /boot/firmware; ls /boot/firmware/talus/enrol.json")
    found += [keys] if "No such file" not in keys or len(keys.splitlines()) > 1 else []
    failed = asked(vm, "systemctl --failed --no-legend")
    return found + ([failed] if failed else [])


def doctor(vm: Vm) -> list[dict[str, Any]]:
    """Return what `talus doctor` says to root there, but for what is well."""
    values = json.loads(asked(vm, "talus doctor --json 2>/dev/null"))
    seen = [d for d in values["diagnoses"] if d["state"] not in ("ok", "skipped")]
    for each in seen:
        print(f"doctor: {each['state']} {each['check']} {each['subject']}: {each['text']}")
    print(f"doctor: {len(values['diagnoses'])} looked at, {len(seen)} of them not ok")
    return seen


def left_in(card: Path, secrets: tuple[bytes, ...]) -> int:
    """Count secrets that lie anywhere on a card, in blocks of no file as well; its power is off."""
    with card.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return sum(whole.find(each) >= 0 for each in secrets)
