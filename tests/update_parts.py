"""A gateway in a folder for updates: real dpkg, real files; its service and doctor are scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import edge
from edge.update_place import Place
from edge.update_run import Run
from edge.update_state import State
from edge.update_system import System
from edge.update_take import Request
from export.package.archive import Entry, make_ar, make_tar, make_xz
from export.package.deb import text_of
from export.secret_key import make_key
from export.update_sign import sign_update

KEY, OTHER = make_key(), make_key()
TOML = """\
# {mark}
[gateway]
name = "bluff"
data_dir = "{data}"
[trust]
keys = [{keys}]
[mqtt]
host = "127.0.0.1"
port = {port}
[remote]
keys = ["{key}"]
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "slope"
step_s = 600
[station.decision]
profile = "single"
[[station.channel]]
name = "crack"
port = "node"
quantity = "crack_width"
unit = "mm"
"""
TALUS = """\
#!/bin/sh
here=$(dirname "$0")/..
case "$*" in
  --version) [ ! -e "$here/broken" ] && echo "talus of the tests" ;;
  *--only*) [ ! -e "$here/wrong" ] || {{ echo "FAIL bundles slope: golden"; exit 1; }} ;;
  doctor*)
    if [ -e "$here/sick" ] || grep -q SICK "{root}/etc/talus/gateway.toml"; then
      echo "FAIL service: talus run is not at work here"
      exit 1
    fi ;;
esac
"""
SYSTEMCTL = """\
#!/bin/sh
case "$1" in
  restart)
    cat "{root}/usr/lib/systemd/system/talus.service" >/dev/null || exit 1
    echo "$(readlink "{root}/opt/talus/current") $(head -n 1 "{root}/etc/talus/gateway.toml")" \\
      >>"{root}/starts"
    pid=$(cat "{root}/pid")
    echo $((pid + 1)) >"{root}/pid" ;;
  show)
    if [ -e "{root}/opt/talus/current/crashes" ]; then
      pid=$(cat "{root}/pid")
      echo $((pid + 1)) >"{root}/pid"
    fi
    echo "MainPID=$(cat "{root}/pid")"
    echo "NRestarts=0" ;;
esac
"""
RELEASE = """\
#!{python}
import sys
sys.path[:0] = [{repository!r}]
from edge.__main__ import main
sys.exit(main())
"""
SERVICE = """\
#!/bin/sh
cd "{root}"
running() {{ kill -0 "$(cat pid)" 2>/dev/null; }}
case "$1" in
  restart)
    kill "$(cat pid)" 2>/dev/null
    while running; do sleep 0.1; done
    setsid "{root}/opt/talus/current/bin/talus" run --config "{root}/etc/talus/gateway.toml" \\
      >>"{root}/log" 2>&1 </dev/null &
    echo $! >pid
    sleep 2
    running || exit 1 ;;
  stop) kill "$(cat pid)" 2>/dev/null; while running; do sleep 0.1; done ;;
  show) if running; then echo "MainPID=$(cat pid)"; else echo MainPID=0; fi ;;
esac
"""
needs_dpkg = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dpkg") is None, reason="NOT TESTED: wants root and dpkg"
)


class Root:
    """A root with release 1.0 and a configuration."""

    def __init__(self, folder: Path, broker_port: int = 1) -> None:
        self.folder = folder
        self.port = broker_port
        self.root = folder / "root"
        self.place = Place(self.root)
        for name in ("etc/talus", "opt/talus/releases/1.0/bin", "usr/bin", "tmp",
                     "usr/lib/systemd/system", "var/lib/dpkg/info", "var/lib/dpkg/updates",
                     "var/lib/talus-update"):  # fmt: skip
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        (folder / "data/updates").mkdir(parents=True)
        self.config.write_text(self.toml("old"))
        self.script("usr/bin/systemctl", SYSTEMCTL)
        self.script("opt/talus/releases/1.0/bin/talus", TALUS)
        for link in ("current", "updater"):
            (self.place.opt / link).symlink_to("releases/1.0")
        self.unit.write_text("unit 1.0\n")
        (self.root / "pid").write_text("1\n")

    @property
    def config(self) -> Path:
        return self.place.config

    @property
    def unit(self) -> Path:
        return self.root / "usr/lib/systemd/system/talus.service"

    @property
    def sent(self) -> Path:
        """Where talus run gathers what comes."""
        return self.folder / "data/updates"

    def script(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(text.format(root=self.root))
        path.chmod(0o755)

    def toml(self, mark: str, **changed: str) -> str:
        values = {"data": str(self.folder / "data"), "keys": f'"{KEY.public.text}"'} | changed
        return TOML.format(mark=mark, key=KEY.public.text, port=self.port, **values)

    def new_config(self, mark: str = "new", counter: int = 5, *, key=KEY, **changed: str) -> Path:
        path = self.folder / "gateway.toml"
        path.write_text(self.toml(mark, **changed))
        sign_update(path, "config", key, counter)
        return path

    def new_package(
        self, version: str = "2.0", counter: int = 5, *marks: str, fields: str = "", key=KEY
    ) -> Path:
        """A real package with our own postinst; ``marks`` say how it misbehaves."""
        talus = TALUS.format(root=self.root).encode()
        inside = "opt/talus/package"
        data = {f"{inside}/bin/talus": Entry(talus, executable=True),
                f"{inside}/lib/README": Entry(version.encode()),
                "usr/lib/systemd/system/talus.service": Entry(f"unit {version}\n".encode()),
                "usr/lib/systemd/system/more.service": Entry(b"more\n")}  # fmt: skip
        data |= {f"{inside}/{mark}": Entry(b"") for mark in marks}
        control = (
            f"Package: talus-edge\nVersion: {version}\nArchitecture: all\n"
            f"Maintainer: a <a@example.org>\nDescription: of the tests\n{fields}"
        )
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        script = text_of("postinst", VERSION=version, PYTHON=python).encode()
        controls = {"control": Entry(control.encode()), "postinst": Entry(script, executable=True)}
        path = self.folder / f"talus-edge_{version}_all.deb"
        path.write_bytes(make_ar([
            ("debian-binary", b"2.0\n"), ("control.tar.xz", make_xz(make_tar(controls, 0))),
            ("data.tar.xz", make_xz(make_tar(data, 0))),
        ], 0))  # fmt: skip
        sign_update(path, "package", key, counter)
        return path

    def systemctl(self, *words: str) -> None:
        subprocess.run([self.root / "usr/bin/systemctl", *words], check=True, timeout=60)

    def real(self) -> None:
        """Let its service be a real talus run; of systemd a script stops and starts it."""
        talus = self.place.opt / "releases/1.0/bin/talus"
        repository = str(Path(edge.__file__).parent.parent)
        talus.write_text(RELEASE.format(python=sys.executable, repository=repository))
        self.script("usr/bin/systemctl", SERVICE)
        (self.root / "pid").write_text("999999999\n")
        self.systemctl("restart")

    def run(self, gate_s: float = 0.0) -> Run:
        return Run(self.place, System(self.place, gate_s, 0.0))

    def put_in(self, path: Path) -> State | str:
        run = self.run()
        with run.hold():
            run.go_on()
            return run.put_in(Request(id="one", who="ana"), path)

    def send(self, kind: str, path: Path, **changed: str) -> None:
        """What talus run leaves for root: the file, its signature, a request."""
        shutil.copy(path, self.sent / kind)
        shutil.copy(f"{path}.minisig", self.sent / f"{kind}.minisig")
        request = {"format": 1, "id": "one", "kind": kind, "who": "ana"} | changed
        (self.sent / "request").write_text(json.dumps(request))

    def serve(self, **environ: str) -> subprocess.Popen[str]:
        """The service, as systemd starts it."""
        words = [sys.executable, "-m", "edge.update_command", "--gate", "0", "--settle", "0"]
        return subprocess.Popen(
            words, env={**os.environ, "TALUS_ROOT": str(self.root), **environ}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def at(self, link: str) -> str:
        path = self.place.opt / link
        return str(path.readlink()) if path.is_symlink() else ""

    def releases(self) -> set[str]:
        return {path.name for path in (self.place.opt / "releases").iterdir()}

    def mark(self) -> str:
        return self.config.read_text().splitlines()[0].removeprefix("# ")

    def starts(self) -> list[str]:
        path = self.root / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def outcome(self) -> dict[str, object]:
        return json.loads((self.place.folder / "outcome.json").read_text())

    def counter(self, kind: str) -> int:
        path = self.place.folder / "counters.json"
        return json.loads(path.read_text()).get(kind, [0])[0] if path.exists() else 0

    def boots(self) -> bool:
        """Whether the gateway would start now: one whole configuration, one whole release."""
        current = self.place.opt / "current"
        text = self.config.read_text()
        whole = text.endswith('unit = "mm"\n') and text.startswith("# ")
        return whole and (current / "bin/talus").is_file() and self.unit.read_text() != ""


class PowerCutError(BaseException):
    """The board is off."""


_EVENTS = frozenset({
    "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate",
    "shutil.rmtree", "subprocess.Popen", "open",
})  # fmt: skip
_left: list[int] = []
_hooked: list[bool] = []


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _left or event not in _EVENTS:
        return
    if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    _left[0] -= 1
    if _left[0] <= 0:
        _left[0] = 0  # nothing is written any more, whatever is cleared up on the way out
        raise PowerCutError


@contextmanager
def power_cut(after: int):
    """Take the power away before the so manieth thing that is written, renamed, or started."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _left.append(after)
    try:
        yield
    finally:
        _left.clear()


def cut_off(run, writes: int) -> bool:
    """Let a run do all that is asked for, the power going after so many writes; whether it went."""
    try:
        with run.hold(), power_cut(writes):
            run.go_on()
            while run.requested() is not None:
                pass
    except PowerCutError:
        return True
    return False
