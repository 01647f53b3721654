"""What the desk makes of updates: signatures, refusals in words; and the units of the gateway."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from update_parts import KEY, Root

from edge.update_item import MAX_BYTES, Item, UpdateError, comment_of, parse_comment, read_item
from export.__main__ import main
from export.package.deb import text_of
from export.secret_key import secret_text

ITEMS = st.builds(
    Item, st.sampled_from(sorted(MAX_BYTES)), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+~:-]{0,99}",
    fullmatch=True), st.integers(1, 2**53), st.integers(1, 2**20),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)  # fmt: skip


@given(ITEMS)
def test_what_is_signed_reads_back(item) -> None:
    assert parse_comment(comment_of(item)) == item


@given(st.text(max_size=200) | ITEMS.map(comment_of).flatmap(
    lambda text: st.integers(0, len(text)).map(lambda n: text[:n] + "\t" + text[n:])
))  # fmt: skip
def test_what_is_no_such_comment_is_refused_in_words(text) -> None:
    with pytest.raises(UpdateError):
        parse_comment(text)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_signature_are_refused(data) -> None:
    with pytest.raises(UpdateError):
        read_item(data, (KEY.public,), "x")


def sign(path: Path, *words: str) -> int:
    key = path.parent / "talus.key"
    key.write_text(secret_text(KEY, b""), encoding="utf-8")
    return main(["sign-update", str(path), "--key", str(key), *words])


def test_the_command_signs_and_says_what(tmp_path, capsys) -> None:
    root = Root(tmp_path)
    assert sign(root.config, "--kind", "config", "--counter", "9") == 0
    assert (
        f"config bluff (counter 9), {root.config.stat().st_size} bytes" in capsys.readouterr().out
    )
    signature = root.config.with_name("gateway.toml.minisig").read_bytes()
    item, _, key = read_item(signature, (KEY.public,), "x")
    assert (item.counter, item.subject, key) == (9, "bluff", KEY.public)


@pytest.mark.skipif(shutil.which("minisign") is None, reason="NOT TESTED: no minisign here")
def test_minisign_verifies_it(tmp_path) -> None:
    root = Root(tmp_path)
    path = root.new_config()
    subprocess.run(["minisign", "-Vm", path, "-P", KEY.public.text], check=True)


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"", "config", "1 to 1048576 bytes"),
        (b"[gateway]\nname = 3\n", "config", "gateway.name"),
        (b"not a package", "package", "not a .deb"),
        (b"!<arch>\n" + b"control.tar.xz  0           0     0     100644  999       `\n", "package",
         "cut short"),
    ],
)  # fmt: skip
def test_what_no_gateway_would_take_is_not_signed(tmp_path, capsys, content, kind, told) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sign(path, "--kind", kind) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "file.minisig").exists()
    assert sign(path, "--kind", kind, "--counter", "0") == 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NOT TESTED: no systemd")
def test_the_units_are_understood(tmp_path) -> None:
    paths = []
    for name in ("talus-update.service", "talus-update.path"):
        text = text_of(name).replace("/opt/talus/updater/bin/talus-update", "/bin/true")
        paths.append(tmp_path / name)
        paths[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "talus-update" in line] == []


def test_the_code_that_is_roots_loads_nothing_heavy() -> None:
    code = (
        "import sys, edge.update_command, edge.update_run, edge.update_package\n"
        "heavy = {'numpy', 'paho', 'serial', 'sqlite3', 'asyncio', 'edge.config', 'edge.doctor'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_root_puts_in(monkeypatch, capsys) -> None:
    from edge.__main__ import main as talus

    monkeypatch.delenv("TALUS_ROOT", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert talus(["update", "gateway.toml"]) == 1
    assert "only root" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        talus(["update", "--help"])
    assert "talus update gateway.toml" in capsys.readouterr().out
