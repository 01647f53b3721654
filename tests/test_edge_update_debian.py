"""Updates in a real Debian: the real package, its user, dpkg, talus run and doctor.

Needs root, mmdebstrap and Debian's archive; some minutes. Of systemd, which no chroot has, a script
stops and starts the service.
"""

from __future__ import annotations

import json

import pytest
from test_export_deb_install import ARCH, Debian, debian
from update_parts import KEY, TOML

from edge import __version__
from export.package import deb as deb_module
from export.package.deb import make_deb
from export.package.targets import RELEASES, target
from export.update_sign import sign_update

__all__ = ["debian"]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
SYSTEMCTL = """\
#!/bin/sh
running() { kill -0 "$(cat /run/pid)" 2>/dev/null; }
case "$1" in
  restart | stop)
    kill "$(cat /run/pid)" 2>/dev/null
    while running; do sleep 0.1; done
    [ "$1" = restart ] || exit 0
    setsid setpriv --reuid=talus --regid=talus --init-groups \\
      talus run --config /etc/talus/gateway.toml >>/run/log 2>&1 </dev/null &
    echo $! >/run/pid
    sleep 3
    running ;;
  show) if running; then echo "MainPID=$(cat /run/pid)"; else echo MainPID=0; fi ;;
esac
"""
SICK = b"import sys\nif sys.argv[1:2] == ['run']:\n    sys.exit('sick')\n"


def put(at: Debian, name: str, content: bytes, kind: str, counter: int) -> None:
    path = at.root / "tmp" / name
    path.write_bytes(content)
    sign_update(path, kind, KEY, counter)


def update(at: Debian, name: str, *, ok: bool = True) -> str:
    words = ["--without-broker", "--gate", "30", "--settle", "2"]
    done = at.run("talus", "update", f"/tmp/{name}", *words, ok=ok)
    return done.stdout + done.stderr


def test_configuration_and_package_in_a_real_debian(debian, monkeypatch) -> None:
    suite, at = debian
    mark = RELEASES[suite].mark
    at.install(make_deb(target(suite, ARCH), slim=True).content)
    assert at.run("systemctl", "is-enabled", "talus-update.path").stdout == "enabled\n"
    assert at.at("updater") == at.at("current") == f"releases/{__version__}+{mark}.slim"
    assert at.run("/opt/talus/updater/bin/talus-update").stdout == ""

    values = {"data": "/var/lib/talus", "keys": f'"{KEY.public.text}"', "port": 1}
    toml = [TOML.format(mark=n, key=KEY.public.text, **values) for n in ("one", "two")]
    live = at.root / "etc/talus/gateway.toml"
    live.write_text(toml[0])
    (at.root / "run/systemd/system").mkdir(parents=True)
    script = at.root / "usr/sbin/systemctl"
    script.write_text(SYSTEMCTL)
    script.chmod(0o755)
    at.run("systemctl", "restart")
    try:
        put(at, "gateway.toml", toml[1].encode(), "config", 5)
        assert "runs and stays" in update(at, "gateway.toml")
        assert live.read_text() == toml[1]
        said = at.run("stat", "-c", "%U %G %a", "/etc/talus/gateway.toml").stdout
        assert said == "root talus 640\n"

        monkeypatch.setattr(deb_module, "__version__", "9.0")
        put(at, "new.deb", make_deb(target(suite, ARCH), slim=True).content, "package", 5)
        assert "runs and stays" in update(at, "new.deb")
        new, old = f"releases/9.0+{mark}.slim", f"releases/{__version__}+{mark}.slim"
        assert (at.at("current"), at.at("previous"), at.at("updater")) == (new, old, new)

        own = deb_module.own_files()
        own["edge/__main__.py"] = own["edge/__main__.py"].replace(
            b"from __future__ import annotations\n", b"from __future__ import annotations\n" + SICK
        )
        monkeypatch.setattr(deb_module, "own_files", lambda: dict(own))
        monkeypatch.setattr(deb_module, "__version__", "9.1")
        put(at, "sick.deb", make_deb(target(suite, ARCH), slim=True).content, "package", 6)
        assert "reverted, the one before runs again" in update(at, "sick.deb", ok=False)
        assert (at.at("current"), at.releases()) == (new, {p.split("/")[1] for p in (new, old)})
        at.run("talus", "doctor", "--health-gate", "--skip", "broker", "--wait", "20")
        kept = json.loads((at.root / "var/lib/talus-update/counters.json").read_text())
        assert {kind: counter for kind, (counter, _) in kept.items()} == {"config": 5, "package": 5}
    finally:
        at.run("systemctl", "stop")
