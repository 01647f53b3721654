"""What a package is made of, without network: archives, targets, unit, scripts, words."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import __version__
from edge.errors import TalusError
from export.__main__ import main as export_main
from export.package.archive import Entry, make_ar, make_tar, make_xz, make_zip
from export.package.deb import deb_version, text_of, unit_text
from export.package.targets import MACHINES, RELEASES, SUITES, Target, target
from export.package.tree import glibc_needed, own_files, wheel_files
from export.package.wheels import FILES, SLIM, locked
from export.source_date import FAT_BEGINS_S, source_date_s

NAMES = st.text("abcdef-_.+", min_size=1, max_size=120).filter(lambda s: s.strip("."))


@settings(max_examples=30)
@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=8))
def test_a_tar_reads_back_and_is_the_same_bytes_in_any_order(files) -> None:
    entries = {f"opt/{name}/x": Entry(content) for name, content in files.items()}
    made = make_tar(entries, 1000)
    assert made == make_tar(dict(reversed(entries.items())), 1000)
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        members = tar.getmembers()
        assert [m.name for m in members if m.isfile()] == [f"./{path}" for path in sorted(entries)]
        assert all((m.uid, m.gid, m.uname, m.mtime) == (0, 0, "root", 1000) for m in members)
        for path, entry in entries.items():
            file = tar.extractfile(f"./{path}")
            assert file is not None
            assert file.read() == entry.content
        seen = {"."}
        for member in members[1:]:  # dpkg wants a folder before what is in it
            assert member.name.rsplit("/", 1)[0] in seen
            seen.add(member.name)


def test_modes_and_links_are_as_told() -> None:
    entries = {"a": Entry(b"1", executable=True), "b": Entry(mode=0o640), "c": Entry(link="/a")}
    with tarfile.open(fileobj=io.BytesIO(make_tar(entries, 0))) as tar:
        assert [(m.mode, m.linkname) for m in tar.getmembers()[1:]] == [
            (0o755, ""), (0o640, ""), (0o777, "/a"),
        ]  # fmt: skip


@pytest.mark.skipif(shutil.which("ar") is None, reason="NOT TESTED: no ar here")
def test_binutils_reads_our_ar(tmp_path) -> None:
    path = tmp_path / "a.ar"
    path.write_bytes(make_ar([("odd", b"123"), ("even", b"1234")], 7))
    assert subprocess.check_output(["ar", "t", path], text=True).split() == ["odd", "even"]
    assert subprocess.check_output(["ar", "p", path, "even"]) == b"1234"


@pytest.mark.skipif(shutil.which("xz") is None, reason="NOT TESTED: no xz here")
def test_xz_reads_what_is_compressed() -> None:
    data = bytes(range(256)) * 1000
    done = subprocess.run(["xz", "-dc"], input=make_xz(data), capture_output=True, check=True)
    assert done.stdout == data


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--arch", "armhf", "--suite", "trixie"], "64-bit"),
        (["--arch", "aarch64", "--suite", "trixie"], "Debian says arm64"),
        (["--arch", "riscv64", "--suite", "trixie"], "there are arm64, amd64"),
        (["--arch", "arm64", "--suite", "bullseye"], "Python is 3.9"),
        (["--arch", "arm64", "--suite", "jammy"], "wheelhouse --for ubuntu22.04"),
        (["--arch", "arm64", "--suite", "sid"], "there are bookworm, trixie"),
        (["--arch", "arm64", "--suite", "trixie", "--wheels", "/nowhere"], "no such folder"),
        (["--arch", "arm64", "--suite", "trixie", "--out", "/nowhere"], "no such folder"),
        (["--arch", "arm64", "--suite", "trixie", "--out", "x.deb"], "name a folder"),
    ],
)
def test_what_is_wrong_is_told_with_what_there_is(words, told, capsys) -> None:
    assert export_main(["deb", *words]) == 1
    assert told in capsys.readouterr().err


def test_help_shows_examples(capsys) -> None:
    for command in ("deb", "wheelhouse"):
        with pytest.raises(SystemExit) as left:
            export_main([command, "--help"])
        assert left.value.code == 0
        assert f"talus-export {command} --" in capsys.readouterr().out


def test_an_empty_folder_of_wheels_says_what_is_missing_for_whom(tmp_path, capsys) -> None:
    words = ["deb", "--arch", "arm64", "--suite", "trixie", "--slim"]
    assert export_main([*words, "--wheels", str(tmp_path), "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "no wheel for Python 3.13 on arm64, glibc 2.41: ai-edge-litert" in said
    assert not list(tmp_path.iterdir())


def test_no_network_is_told_with_a_way_out(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    words = ["deb", "--arch", "arm64", "--suite", "trixie", "--slim", "--out", str(tmp_path)]
    assert export_main(words) == 1
    assert "no network" in capsys.readouterr().err


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path, capsys) -> None:
    line = locked(target("trixie", "arm64"))["pyserial"]
    name = f"pyserial-{line.split('==')[1].split(' ')[0]}-py2.py3-none-any.whl"
    (tmp_path / name).write_bytes(make_zip([("serial/__init__.py", b"import os\n")]))
    from export.package.wheels import fetch

    with pytest.raises(TalusError, match="tampered"):
        fetch(target("trixie", "arm64"), ["pyserial"], tmp_path / "out", tmp_path)


@pytest.mark.parametrize("name", ["../evil.py", "/etc/passwd", "a/../../b"])
def test_a_wheel_that_reaches_out_is_refused(tmp_path, name) -> None:
    path = tmp_path / "evil-1-py3-none-any.whl"
    path.write_bytes(make_zip([(name, b"")]))
    with pytest.raises(TalusError, match="not a file of a wheel"):
        wheel_files(path)


def test_a_damaged_wheel_and_one_that_lacks_what_is_needed_are_named(tmp_path) -> None:
    path = tmp_path / "ai_edge_litert-9.0-cp311-cp311-manylinux_2_27_aarch64.whl"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(TalusError, match=r"ai_edge_litert.*damaged"):
        wheel_files(path)
    path.write_bytes(make_zip([("ai_edge_litert/__init__.py", b"")]))
    with pytest.raises(TalusError, match="lacks .*interpreter.py"):
        wheel_files(path)


def test_our_own_code_is_packed_and_nothing_that_was_left_behind() -> None:
    files = own_files()
    assert {"edge/gateway.py", "edge/notify.py", "firmware_bridge/port.py"} <= files.keys()
    assert {"edge/demo/bundle/manifest.json", "edge/schemas/alarm.json"} <= files.keys()
    assert not [n for n in files if "__pycache__" in n or n.endswith((".pyc", ".c", ".h"))]
    assert not [n for n in files if n.startswith("export/")]


def test_every_release_has_a_lock_for_each_architecture() -> None:
    for release in RELEASES.values():
        lock = locked(Target(release, "arm64"))
        assert {*SLIM, "numpy", "onnxruntime", "pip"} <= lock.keys()
        for name in ("ai-edge-litert", "numpy", "onnxruntime"):
            assert lock[name].count("--hash=sha256:") == len(MACHINES)
        for line in lock.values():
            assert re.fullmatch(r"[a-z-]+==[0-9.]+( --hash=sha256:[0-9a-f]{64})+", line)


def test_the_oldest_c_library_that_a_wheel_is_content_with_counts() -> None:
    assert (
        glibc_needed(Path("n-1-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl"))
        == 27
    )
    assert glibc_needed(Path("o-1-cp311-cp311-manylinux2014_x86_64.whl")) == 17
    assert glibc_needed(Path("p-1-py3-none-any.whl")) == 0


def test_a_newer_suite_is_a_newer_version() -> None:
    versions = [
        deb_version(target(s, "arm64"), slim=slim) for s in SUITES for slim in (False, True)
    ]
    assert versions == [f"{__version__}+{mark}" for mark in
                        ("deb12.full", "deb12.slim", "deb13.full", "deb13.slim")]  # fmt: skip
    if dpkg := shutil.which("dpkg"):
        subprocess.run([dpkg, "--compare-versions", versions[1], "lt", versions[2]], check=True)


def test_the_time_of_files_can_be_set_and_nonsense_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert source_date_s(5) == 1234
    with pytest.raises(TalusError, match="1980 to 2038"):
        source_date_s(5, since_s=FAT_BEGINS_S)
    for odd in ("soon", "-1", "99999999999999"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", odd)
        with pytest.raises(TalusError, match="SOURCE_DATE_EPOCH"):
            source_date_s(5)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NOT TESTED: no systemd")
@pytest.mark.parametrize("suite", SUITES)
def test_the_unit_is_hardened_and_understood(suite, tmp_path) -> None:
    path = tmp_path / "talus.service"
    path.write_text(unit_text(suite), encoding="utf-8")
    command = ["systemd-analyze", "security", "--offline=yes"]
    done = subprocess.run(
        [*command, "--threshold=20", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-300:]
    score = float(re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)[0])
    assert score <= 2.0
    text = unit_text(suite).replace("/usr/bin/talus", "/bin/true")
    path.write_text(text, encoding="utf-8")
    verify = subprocess.run(
        ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
    )
    said = [line for line in verify.stderr.splitlines() if "talus.service" in line]
    assert [line for line in said if "Restart" not in line] == [], verify.stderr
    if suite == "bookworm":  # its systemd knows no such thing
        assert "RestartSteps" not in text
    assert "Type=notify" in text
    assert "WatchdogSec=" in text


def test_a_restart_waits_longer_each_time_where_systemd_can() -> None:
    able = {name for name in RELEASES if "RestartSteps=" in unit_text(name)}
    assert able == {"trixie", "jetpack7", "ubuntu24.04"}


def test_the_condition_skips_what_is_not_configured_yet(tmp_path) -> None:
    condition = re.findall(r'^ExecCondition=(\S+) -q "(.*)" ', unit_text("trixie"), re.M)[0]
    pattern = condition[1].replace("\\\\", "\\")
    config = tmp_path / "gateway.toml"
    for text, expected in ((text_of("gateway.toml"), 1), ("[[station]]\n", 0), (" [[station]]", 0)):
        config.write_text(text, encoding="utf-8")
        assert subprocess.run(["grep", "-q", pattern, config], check=False).returncode == expected


def test_the_configuration_that_is_installed_says_what_it_lacks(tmp_path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(text_of("gateway.toml"), encoding="utf-8")
    assert tomllib.loads(text_of("gateway.toml"))["gateway"]["data_dir"] == "/var/lib/talus"
    command = [sys.executable, "-m", "edge", "check", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FAIL station: at least 1 needed", "FAIL port: at least 1 needed", "2 to mend",
    ]  # fmt: skip


def test_it_is_whole_once_its_comments_are_taken_away(tmp_path) -> None:
    text = text_of("gateway.toml")
    begin = text.index("# [[port]]")
    config = tmp_path / "gateway.toml"
    config.write_text(text[:begin] + text[begin:].replace("# ", ""), encoding="utf-8")
    from edge.config import load_config

    assert load_config(config).stations[0].name == "slope"


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm", "install.sh"])
def test_scripts_are_posix_shell(name) -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell is not None
    subprocess.run([shell, "-n", FILES / name], check=True)


def test_the_wheel_of_talus_is_one_that_pip_takes(tmp_path) -> None:
    from export.package.wheelhouse import own_wheel

    name, content = own_wheel()
    assert own_wheel()[1] == content
    path = tmp_path / name
    path.write_bytes(content)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
               "--no-compile", "--target", tmp_path / "in", path]  # fmt: skip
    subprocess.run(command, check=True)
    with zipfile.ZipFile(path) as wheel:
        assert wheel.testzip() is None
    code = "import edge, edge.gateway; print(edge.__file__)"
    alone = {"PYTHONPATH": str(tmp_path / "in"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-P", "-c", code]
    loaded = subprocess.check_output(command, env=alone, text=True).strip()
    assert Path(loaded).is_relative_to(tmp_path)
    assert (tmp_path / "in/bin/talus").is_file()
