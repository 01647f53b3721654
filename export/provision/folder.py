"""The files of a card, written to a folder: a boot partition that is mounted, or any other."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.provision.content import content_of
from export.provision.firstboot.card import FORMAT, MANIFEST, sha256
from export.provision.firstboot.identity import CA, MADE, TICKET
from export.provision.firstboot.place import CARD, write_plain
from export.provision.firstboot_app import data_file, firstboot_app
from export.provision.network import connections
from export.provision.os_files import CMDLINE, cmdline_for, instance_of, os_files

if TYPE_CHECKING:
    from pathlib import Path

    from export.provision.plan import Plan

_SCRIPTS = ("start.sh", "talus-firstboot.service", "talus-firstboot.timer")
_APP = "talus-firstboot"


def write_card(out: Path, plan: Plan, made_s: int) -> int:
    """Write the card's files, replacing those of an earlier run. Returns how many in talus/.

    talus/ is written aside: when this is stopped there is the whole old one, or the whole new one.
    Of those beside it network-config is a secret.
    Raises TalusError, OSError.
    """
    if out.exists() and not out.is_dir():
        raise TalusError(f"--out {out}: is a file, and a folder is needed")
    final, aside, old = (out / f"{CARD}{end}" for end in ("", ".new", ".old"))
    if final.exists() and not (final / MANIFEST).is_file():
        raise TalusError(f"{final}: is there, and was not written by this command")
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        count, content = _write_talus(aside, plan, made_s)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        aside.rename(final)
    finally:
        if old.exists() and not final.exists():
            old.rename(final)
        for each in (aside, old):
            shutil.rmtree(each, ignore_errors=True)
    instance = instance_of(plan.site, made_s, content)
    for name, text in os_files(plan.site, plan.suite, instance).items():
        _put(out, name, text.encode(), 0o600 if name == "network-config" else 0o644)
    (out / "talus-status.txt").unlink(missing_ok=True)
    line = out / CMDLINE
    if line.is_file():
        text = cmdline_for(plan.suite, line.read_text(encoding="utf-8"), instance)
        write_plain(line, text.encode())
    return count


def content_in(out: Path) -> str:
    """Return the digest of what is on the card that was written there. Raises OSError."""
    return str(json.loads((out / CARD / MANIFEST).read_bytes())["content"])


def _write_talus(folder: Path, plan: Plan, made_s: int) -> tuple[int, str]:
    """Write talus/: what is proven by its sha256, the secrets, the manifest last.

    Returns of how many files, and the digest of all.
    """
    (folder / "deb").mkdir(parents=True)
    app = firstboot_app()
    _put(folder, _APP, app)
    _put(folder, f"{_APP}.sha256", f"{hashlib.sha256(app).hexdigest()}  {_APP}\n".encode())
    for name in _SCRIPTS:
        _put(folder, name, data_file(name))
    names = [f"deb/{path.name}" for path, _ in plan.debs]
    if len(set(names)) < len(names):
        raise TalusError("--deb: two packages of one file name")
    for name, (path, _) in zip(names, plan.debs, strict=True):
        shutil.copyfile(path, folder / name)
    _put(folder, "gateway.toml", plan.site.config.read_bytes())
    for i, to in enumerate(sorted(plan.bundles)):
        shutil.copytree(plan.bundles[to], folder / "bundle" / str(i), copy_function=shutil.copyfile)
    wires = connections(plan.site, everything=plan.suite == "bookworm")
    secrets = {f"network/{name}": text.encode() for name, text in wires.items()}
    broker = plan.site.broker
    if broker is not None:
        _put(folder, CA, broker.ca.read_bytes())
        if broker.token is not None:
            secrets[TICKET] = broker.token.read_bytes()
        if broker.certificate is not None and broker.key is not None:
            _put(folder, MADE[0], broker.certificate.read_bytes())
            secrets[MADE[1]] = broker.key.read_bytes()
    proven = {
        str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()
    }
    for name, secret in secrets.items():
        _put(folder, name, secret, 0o600)
    content = content_of(proven, secrets, os_files(plan.site, plan.suite, ""))
    manifest = {
        "format": FORMAT, "gateway": plan.site.name, "made_s": made_s, "suite": plan.suite,
        "arch": plan.site.arch, "package": plan.package.package, "version": plan.package.version,
        "packages": names, "connections": sorted(f"network/{name}" for name in wires),
        "copies": [{"from": c.source, "to": c.target, "mode": c.mode} for c in plan.copies()],
        "tls": asdict(plan.tls) if plan.tls else None, "files": dict(sorted(proven.items())),
        "content": content, "country": plan.site.country if plan.suite != "bookworm" else "",
    }  # fmt: skip
    _put(folder, MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
    return len(proven), content


def _put(folder: Path, name: str, content: bytes, mode: int = 0o644) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=mode)
    with contextlib.suppress(OSError):  # FAT knows no modes
        path.chmod(mode)
    path.write_bytes(content)
