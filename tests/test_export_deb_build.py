"""A real package from real wheels: small, the same twice, read by dpkg, and it runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import __version__
from export.package.deb import CONFIG, make_deb
from export.package.targets import target

MAX_SLIM_MB = 10.0
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="NOT TESTED: no dpkg-deb")
needs_311 = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="NOT TESTED: bookworm's package wants Python 3.11"
)


def export(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environ, timeout=240
    )


@pytest.fixture(scope="module")
def slim(tmp_path_factory) -> Path:
    """The slim package for this PC's own kind, made once."""
    out = tmp_path_factory.mktemp("deb")
    done = export("deb", "--arch", "amd64", "--suite", "bookworm", "--slim", "--out", out)
    if "no network" in done.stderr or "no wheel" in done.stderr:
        pytest.skip(f"NOT TESTED: no package index here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.deb"))


@pytest.fixture(scope="module")
def root(slim, tmp_path_factory) -> Path:
    """The package unpacked."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("NOT TESTED: no dpkg-deb here")
    folder = tmp_path_factory.mktemp("root")
    subprocess.run(["dpkg-deb", "-x", slim, folder], check=True)
    return folder


def test_slim_is_small_and_the_same_bytes_when_made_again(slim) -> None:
    assert slim.name == f"talus-edge_{__version__}+deb12.slim_amd64.deb"
    assert slim.stat().st_size <= MAX_SLIM_MB * 1e6
    again = make_deb(target("bookworm", "amd64"), slim=True)
    assert again.sha256 == hashlib.sha256(slim.read_bytes()).hexdigest()


@needs_dpkg
def test_dpkg_reads_what_it_needs_and_what_is_in_it(slim) -> None:
    fields = subprocess.check_output(["dpkg-deb", "-f", slim], text=True)
    for line in (
        "Package: talus-edge", f"Version: {__version__}+deb12.slim", "Architecture: amd64",
        ("Depends: python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.27), libstdc++6, libgcc-s1, "
         "passwd, python3-numpy (>= 1:1.23)"),
    ):  # fmt: skip
        assert line in fields.splitlines()
    listed = subprocess.check_output(["dpkg-deb", "-c", slim], text=True).splitlines()
    assert all(line.split()[1] == "root/root" for line in listed)
    assert any(line.startswith("-rw-r-----") and line.endswith(CONFIG) for line in listed)
    assert subprocess.check_output(["dpkg-deb", "-I", slim, "conffiles"]) == f"/{CONFIG}\n".encode()


def test_the_sums_of_all_files_hold(slim, root, tmp_path) -> None:
    subprocess.run(["dpkg-deb", "-e", slim, tmp_path], check=True)
    sums = ["md5sum", "--check", "--quiet", str(tmp_path / "md5sums")]
    subprocess.run(sums, cwd=root, check=True)


@needs_311
def test_it_runs_on_its_own_libraries(root, tmp_path) -> None:
    package = root / "opt/talus/package"
    command = [sys.executable, "-I", package / "bin/talus"]
    assert subprocess.check_output([*command, "--version"], text=True) == f"talus {__version__}\n"
    code = (
        f"import sys; sys.path.insert(0, {str(package / 'lib')!r})\n"
        "import edge, firmware_bridge, paho.mqtt, serial, ai_edge_litert.interpreter as i\n"
        "print(*{m.__file__ for m in (edge, firmware_bridge, paho.mqtt, serial, i)}, sep='\\n')"
    )
    loaded = subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split()
    assert all(Path(each).is_relative_to(package) for each in loaded)
    bench = [*command, "bench", "--count", "20"]
    done = subprocess.run(bench, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "litert" in done.stdout


def test_a_command_keeps_to_its_release_when_current_is_switched(root, tmp_path) -> None:
    package = root / "opt/talus/package"
    current = tmp_path / "current"
    current.symlink_to(package)
    script = (current / "bin/talus").read_text()
    assert script.startswith("#!/usr/bin/python3.11 -I\n")
    probe = script.replace("sys.exit(main())", "print(sys.path[0])")
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib").symlink_to(package / "lib")
    (tmp_path / "bin/talus").write_text(probe)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "bin/talus")
    found = subprocess.check_output([sys.executable, "-I", link], text=True).strip()
    assert found == str(tmp_path / "lib")


def test_it_says_what_it_was_made_of(root) -> None:
    values = json.loads((root / "opt/talus/package/release.json").read_text())
    assert (values["suite"], values["arch"], values["python"]) == ("bookworm", "amd64", "3.11")
    assert len(values["wheels"]) == 3
    licences = list((root / "opt/talus/package/lib").glob("*.dist-info/**/LICENSE*"))
    assert any("litert" in str(path) for path in licences)


@needs_311
def test_a_wheelhouse_installs_without_network_and_says_when_it_is_damaged(tmp_path) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    if not machine or shutil.which("python3.11") is None:
        pytest.skip("NOT TESTED: no Python 3.11 on its path here")
    out = tmp_path / "wheelhouse"
    done = export("wheelhouse", "--for", "bookworm", "--arch", machine, "--slim", "--out", out)
    if "no network" in done.stderr or "no wheel" in done.stderr:
        pytest.skip(f"NOT TESTED: no package index here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    place = tmp_path / "place"
    lonely = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9"}
    for times in (1, 2):
        command = [out / "install.sh", place]
        ran = subprocess.run(command, env=lonely, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert (place / "current").resolve().name == __version__ + ("" if times == 1 else ".2")
    assert (place / "previous").resolve().name == __version__
    talus = place / "current/bin/talus"
    assert subprocess.check_output([talus, "--version"], text=True) == f"talus {__version__}\n"
    bench = [talus, "bench", "--count", "20"]
    assert "litert" in subprocess.check_output(bench, text=True, cwd=tmp_path)

    with next((out / "wheels").glob("pyserial*")).open("ab") as wheel:
        wheel.write(b"\0")
    ran = subprocess.run(command, env=lonely, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "damaged" in ran.stderr
    assert (place / "current").resolve().name == __version__ + ".2"
