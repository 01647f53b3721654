"""The packages in a real Debian: installed, used, installed anew, upgraded, refused, purged.

Needs root, mmdebstrap and Debian's archive; a minute or two for each suite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge import __version__
from export.demo import write_config
from export.package import deb as deb_module
from export.package.deb import make_deb
from export.package.targets import RELEASES, SUITES, target

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")


class Debian:
    """A Debian in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            ["chroot", str(self.root), *words],
            capture_output=True, text=True, check=False, env=environ, timeout=300,
        )  # fmt: skip
        assert (done.returncode == 0) is ok, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, content: bytes, *, ok: bool = True) -> str:
        (self.root / "tmp/talus.deb").write_bytes(content)
        return self.run("dpkg", "--force-confold", "-i", "/tmp/talus.deb", ok=ok).stderr

    def at(self, link: str) -> str:
        return str((self.root / "opt/talus" / link).readlink())

    def releases(self) -> set[str]:
        return {path.name for path in (self.root / "opt/talus/releases").iterdir()}


@pytest.fixture(params=SUITES)
def debian(request, tmp_path):
    if os.geteuid() or not ARCH or shutil.which("mmdebstrap") is None:
        pytest.skip("NOT TESTED: wants root, mmdebstrap, and an amd64 or arm64 machine")
    root = tmp_path / "root"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={ARCH}",
               "--include=systemd,python3,python3-numpy", request.param, root]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"NOT TESTED: no Debian root here: {made.stderr[-300:]}")
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    try:
        yield request.param, Debian(root)
    finally:
        subprocess.run(["umount", root / "proc"], check=True)


def later(suite: str, monkeypatch, version: str, *, slim: bool) -> bytes:
    monkeypatch.setattr(deb_module, "__version__", version)
    return make_deb(target(suite, ARCH), slim=slim).content


def test_a_package_lives_its_life_in_a_real_debian(debian, monkeypatch, tmp_path) -> None:
    suite, at = debian
    mark = RELEASES[suite].mark
    first, second = f"{__version__}+{mark}.slim", f"9.0+{mark}.slim"
    slim = make_deb(target(suite, ARCH), slim=True).content
    other = next(each for each in SUITES if each != suite)

    # A package for another Python is refused in words, and leaves nothing behind.
    said = at.install(make_deb(target(other, ARCH), slim=True).content, ok=False)
    assert "depends on python3" in said
    at.run("dpkg", "--purge", "talus-edge")
    assert not (at.root / "usr/bin/talus").is_symlink()

    at.install(slim)
    assert at.run("talus", "--version").stdout == f"talus {__version__}\n"
    assert "litert" in at.run("talus", "bench", "--count", "20").stdout
    assert at.run("talus", "check", "--config", "/etc/talus/gateway.toml", ok=False).stdout
    assert at.at("current") == f"releases/{first}"
    assert at.run("stat", "-c", "%U %G %a", "/var/lib/talus").stdout == "talus talus 750\n"
    config = at.run("stat", "-c", "%U %G %a", "/etc/talus/gateway.toml").stdout
    assert config == "root talus 640\n"
    assert "dialout" in at.run("id", "-nG", "talus").stdout
    assert at.run("systemctl", "is-enabled", "talus.service").stdout == "enabled\n"
    assert list((at.root / "opt/talus/current/lib/edge/__pycache__").glob("gateway.*.pyc"))
    assert at.run("dpkg", "--verify", "talus-edge").stdout == ""

    # As the service has it: the user talus, with a site's configuration.
    write_config(tmp_path, "/dev/null", 1883)
    place = at.root / "var/lib/talus/site"
    shutil.copytree(tmp_path, place, ignore=shutil.ignore_patterns("root"))
    at.run("chown", "-R", "talus:", "/var/lib/talus/site")
    check = ("talus", "check", "--listen", "0.1", "--config", "/var/lib/talus/site/gateway.toml")
    said = at.run("setpriv", "--reuid=talus", "--regid=talus", "--init-groups", *check, ok=False)
    assert "ok   station[0].bundle:" in said.stdout, said.stdout + said.stderr

    # The same again mends it, and takes no rollback away.
    (at.root / "opt/talus/current/lib/edge/gateway.py").unlink()
    (at.root / "etc/talus/gateway.toml").write_text("# mine\n[[station]]\n")
    at.install(slim)
    at.run("talus", "run", "--help")
    assert at.at("current") == f"releases/{first}.2"
    assert at.root.joinpath("etc/talus/gateway.toml").read_text().startswith("# mine")

    at.install(later(suite, monkeypatch, "9.0", slim=True))
    assert at.at("current") == f"releases/{second}"
    assert at.at("previous") == f"releases/{first}.2"
    assert at.releases() == {second, f"{first}.2"}  # two are kept
    assert at.run("/opt/talus/previous/bin/talus", "--version").stdout
    assert at.root.joinpath("etc/talus/gateway.toml").read_text().startswith("# mine")

    # One that does not run is refused, and the one before goes on.
    monkeypatch.setattr(deb_module, "own_files", lambda: {"edge/__main__.py": b"1 / 0\n"})
    said = at.install(later(suite, monkeypatch, "9.1", slim=True), ok=False)
    assert "does not run here; the one before stays" in said
    assert at.at("current") == f"releases/{second}"
    assert at.run("talus", "--version").stdout == f"talus {__version__}\n"
    monkeypatch.undo()

    # The full one needs nothing of the system, and all runtimes run.
    at.install(later(suite, monkeypatch, "9.2", slim=False))
    at.run("dpkg", "--purge", "--force-depends", "python3-numpy")
    bench = at.run("talus", "bench", "--count", "20").stdout
    assert {"litert", "onnxruntime"} <= set(bench.split())
    assert ("tflite" in bench.split()) is (suite == "bookworm")
    assert at.releases() == {f"9.2+{mark}.full", second}

    at.run("dpkg", "--purge", "talus-edge")
    for gone in ("opt/talus", "etc/talus", "var/lib/talus", "usr/bin/talus"):
        assert not os.path.lexists(at.root / gone), gone
    units = at.root / "etc/systemd/system/multi-user.target.wants"
    assert not (units / "talus.service").is_symlink()
