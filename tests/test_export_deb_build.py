"""A real package from real wheels: small, the same twice, read by dpkg, and it runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
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


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory) -> Path:
    """A folder with all that it takes, and an archive of a Python: that which runs this."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    if not machine:
        pytest.skip("NOT TESTED: wants an amd64 or arm64 machine")
    folder = tmp_path_factory.mktemp("wheelhouse")
    archive = folder / "cpython.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(Path(sys.executable).resolve(), "python/bin/python3.11")
    out = folder / "out"
    done = export("wheelhouse", "--for", "bookworm", "--arch", machine, "--slim", "--out", out,
                  "--python-archive", archive)  # fmt: skip
    if "no network" in done.stderr or "no wheel" in done.stderr:
        pytest.skip(f"NOT TESTED: no package index here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return out


@needs_311
def test_a_wheelhouse_installs_without_network_and_says_when_it_is_damaged(
    wheelhouse, tmp_path
) -> None:
    if shutil.which("python3.11") is None:
        pytest.skip("NOT TESTED: no Python 3.11 on its path here")
    out = tmp_path / "wheelhouse"
    shutil.copytree(wheelhouse, out)
    place = tmp_path / "place"
    lonely = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9"}
    (place / "releases/0.0.9").mkdir(parents=True)
    for suffix in ("", ".2"):
        command = [out / "install.sh", place]
        ran = subprocess.run(command, env=lonely, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert (place / "current").resolve().name == __version__ + suffix
    assert (place / "previous").resolve().name == __version__
    kept = {path.name for path in (place / "releases").iterdir()}
    assert kept == {__version__, f"{__version__}.2"}  # two, as with a package
    talus = place / "current/bin/talus"
    assert subprocess.check_output([talus, "--version"], text=True) == f"talus {__version__}\n"
    bench = [talus, "bench", "--count", "20"]
    assert "litert" in subprocess.check_output(bench, text=True, cwd=tmp_path)
    packed = {path.name.split("-")[0] for path in (out / "wheels").iterdir()}
    assert "pip" in packed  # it installs the others, and itself nowhere
    assert not list((place / "current").rglob("site-packages/pip"))

    with next((out / "wheels").glob("pyserial*")).open("ab") as wheel:
        wheel.write(b"\0")
    ran = subprocess.run(command, env=lonely, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "damaged" in ran.stderr
    assert (place / "current").resolve().name == __version__ + ".2"


@needs_311
def test_a_python_that_goes_along_is_not_put_over_the_one_that_runs(wheelhouse, tmp_path) -> None:
    programs = tmp_path / "bin"  # all that a system has, and no Python
    programs.mkdir()
    for name in ("sh", "dirname", "uname", "sha256sum", "ls", "mkdir", "tar", "gzip", "rm", "ln",
                 "mv", "cp", "cat", "sync", "readlink"):  # fmt: skip
        (programs / name).symlink_to(shutil.which(name) or name)
    place = tmp_path / "place"
    before = place / f"releases/{__version__}"
    for running in (before / "python/bin/python3.11", place / "python/bin/python3.11"):
        running.parent.mkdir(parents=True)
        running.write_text("runs")
    (place / "current").symlink_to(f"releases/{__version__}")
    ran = subprocess.run([wheelhouse / "install.sh", place], env={"PATH": str(programs)},
                         capture_output=True, text=True, check=False)  # fmt: skip
    if "libpython" in ran.stderr or "platform libraries" in ran.stderr:
        pytest.skip(f"NOT TESTED: this Python cannot be moved: {ran.stderr}")
    assert ran.returncode == 0, ran.stderr
    assert (place / "current").resolve().name == f"{__version__}.2"
    assert (
        (place / "current/bin/python3.11").resolve().is_relative_to((place / "current").resolve())
    )
    assert (before / "python/bin/python3.11").read_text() == "runs"
    assert (place / "python/bin/python3.11").read_text() == "runs"
