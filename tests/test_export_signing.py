"""Keys and signatures of the workstation: minisign's own, both ways, and never half-written."""

from __future__ import annotations

import base64
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import read_manifest
from edge.errors import BundleError, TalusError
from edge.trust import ANY_SIGNER, SIGNATURE_FILE, Trust
from export.__main__ import main
from export.secret_key import (
    LockedKey,
    make_key,
    parse_secret,
    public_text,
    scrypt_cost,
    secret_text,
    unlock,
)
from export.signing import raised, sign_bundle, sign_content
from firmware_bridge.minisign import parse_public_key, parse_signature, verify_content

needs_minisign = pytest.mark.skipif(
    not shutil.which("minisign"), reason="NOT TESTED: no minisign here"
)
# Made by minisign 0.11: a key in clear, and one whose password is "pw". Neither signs anything.
CLEAR = """\
untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAOOgse939OtkdJ827JZqsdFBE+EGj0skB6fWdjyggHCGqglkLwrMoqa/Gw3F/IBCrfKzo+phNKdFr5zfDmjp7HZq/rM9BOUSmAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""
CLEAR_PUBLIC = "RWQ46Cx73f062a/Gw3F/IBCrfKzo+phNKdFr5zfDmjp7HZq/rM9BOUSm"
LOCKED = """\
untrusted comment: minisign encrypted secret key
RWRTY0IygeemcgoShL1k9nWcWe86QLbQgfsONkqtB+TxWruL+KsAAAACAAAAAAAAAEAAAAAAahanNC5Q1AvC3BzJNr2+NVZCB+kWs3iJs78dCtlxE5e+Slr08YdXi5PNPsZcp6hOKFsiI1FqorC6QcDEEfXVy+tLqEEjhScdf9uWxJf3yK55wOHecmwNoPGjJE2CMjRDizy3sgK4QvA=
"""
LOCKED_PUBLIC = "RWRVLlyzzXcJpx4kL0kr0jwpHMF8voUTsKC94FWT5691oxZBzC9tT7Iq"
KEY = make_key()
LIGHT = {"ops_limit": 2**15, "memory_limit": 2**24}
"""Limits of scrypt for tests: the real ones take 1 GiB and seconds."""


def minisign(folder: Path, *arguments: str, typed: str = "") -> None:
    command = ["minisign", *arguments]
    done = subprocess.run(command, cwd=folder, input=typed.encode(), capture_output=True)  # noqa: PLW1510
    assert done.returncode == 0, done.stderr + done.stdout


def locked(text: str) -> LockedKey:
    return parse_secret(text.encode(), "k.key")


def test_keys_of_the_real_minisign_are_read() -> None:
    assert unlock(locked(CLEAR), b"").public == parse_public_key(CLEAR_PUBLIC)
    assert locked(LOCKED).encrypted
    assert unlock(locked(LOCKED), b"pw").public == parse_public_key(LOCKED_PUBLIC)


@settings(max_examples=10, deadline=None)
@given(st.binary(max_size=30))
def test_a_key_comes_back_with_its_password_and_no_other(password: bytes) -> None:
    text = secret_text(KEY, password, **LIGHT)
    assert unlock(locked(text), password) == KEY
    if password:
        with pytest.raises(TalusError, match=r"k\.key: wrong password"):
            unlock(locked(text), password + b"x")


@pytest.mark.parametrize(
    ("ops", "memory", "cost"),
    [(2**25, 2**30, (2**20, 1)), (2**20, 2**30, (2**15, 1)), (2**21, 2**20, (2**10, 64))],
)
def test_the_cost_of_scrypt_is_what_libsodium_makes_of_the_limits(ops, memory, cost) -> None:
    assert scrypt_cost(ops, memory) == cost


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_key_is_refused_and_named(data) -> None:
    text = bytearray(secret_text(KEY, b"").encode())
    start = text.index(b"\n") + 1
    at = data.draw(st.integers(start, len(text) - 3))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        key = unlock(parse_secret(bytes(text), "k.key"), b"")
    except TalusError as error:
        assert str(error).startswith("k.key: ")  # noqa: PT017
    else:
        assert key.seed == KEY.seed  # its number, or what a key in clear does not use


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_file_makes_it_raise_anything_else(data: bytes) -> None:
    with pytest.raises(TalusError, match=r"^k\.key: "):
        parse_secret(data, "k.key")


def test_what_is_no_secret_key_is_told() -> None:
    with pytest.raises(TalusError, match="the secret key is the other file"):
        parse_secret(public_text(KEY.public).encode(), "k.key")
    with pytest.raises(TalusError, match="far too long"):
        parse_secret(b"x" * 5000, "k.key")
    text = secret_text(KEY, b"pw", **LIGHT)
    packed = bytearray(base64.b64decode(text.splitlines()[1]))
    packed[38:46] = (2**63).to_bytes(8, "little")
    greedy = f"{text.splitlines()[0]}\n{base64.b64encode(packed).decode()}\n"
    with pytest.raises(TalusError, match="more than 1 GiB"):
        locked(greedy)


def test_a_secret_stands_in_no_text() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert repr(KEY.seed)[2:-1] not in repr(KEY)


@needs_minisign
def test_minisign_verifies_and_signs_with_keys_made_here(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b"{}")
    (tmp_path / "t.pub").write_text(public_text(KEY.public))
    (tmp_path / "m.json.minisig").write_bytes(sign_content(b"{}", KEY, "by\ttalus"))
    minisign(tmp_path, "-V", "-p", "t.pub", "-m", "m.json")
    for password in (b"", b"pw"):
        (tmp_path / "t.key").write_text(secret_text(KEY, password, **LIGHT))
        minisign(tmp_path, "-S", "-s", "t.key", "-m", "m.json", typed=password.decode() + "\n")
        found = parse_signature((tmp_path / "m.json.minisig").read_bytes(), "m")
        assert verify_content(b"{}", found, [KEY.public], "m") == KEY.public


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle.make(tmp_path / "bundle", counter=3)


def test_the_counter_is_the_time_of_signing_or_one_more() -> None:
    assert raised(0, 1_700_000_000) == 1_700_000_000
    assert raised(1_700_000_000, 1_700_000_000) == 1_700_000_001
    assert raised(9, 5) == 10


def test_signing_changes_the_counter_alone(bundle: Path) -> None:
    before = json.loads((bundle / "manifest.json").read_bytes())
    done = sign_bundle(bundle, KEY, 1000)
    after = json.loads((bundle / "manifest.json").read_bytes())
    assert (done.was, done.counter, done.key_id) == (3, 1000, KEY.public.id)
    assert after == {**before, "counter": 1000}
    assert list(after) == list(before)
    assert read_manifest(bundle, Trust((KEY.public,))).counter == 1000
    assert not [path for path in bundle.iterdir() if path.name.startswith(".")]
    for name in ("manifest.json", SIGNATURE_FILE):
        assert stat.S_IMODE((bundle / name).stat().st_mode) == 0o644


def test_a_damaged_bundle_is_not_signed(bundle: Path) -> None:
    (bundle / "gru.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="sha256 is not that of the manifest"):
        sign_bundle(bundle, KEY, 1000)
    assert not (bundle / SIGNATURE_FILE).exists()


@pytest.mark.parametrize("counter", [-1, 2**53 + 1])
def test_a_counter_out_of_range_leaves_the_bundle_alone(bundle: Path, counter: int) -> None:
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(TalusError, match="the counter must be 0 .."):
        sign_bundle(bundle, KEY, 1000, counter)
    assert (bundle / "manifest.json").read_bytes() == before


_KILLED = """
import os, sys
from pathlib import Path
import export.signing
from export.secret_key import SecretKey
left = int(sys.argv[3])
def counted(real):
    def call(*a, **k):
        global left
        if not left: os._exit(9)
        left -= 1
        return real(*a, **k)
    return call
os.fsync, Path.replace = counted(os.fsync), counted(Path.replace)
export.signing.sign_bundle(Path(sys.argv[1]), SecretKey(bytes(8), bytes.fromhex(sys.argv[2])), 2000)
"""


@pytest.mark.parametrize("calls", range(6))
def test_killed_at_any_step_no_gateway_arms_a_half_signed_bundle(bundle: Path, calls: int) -> None:
    key = replace(KEY, number=bytes(8))
    sign_bundle(bundle, key, 1000)
    command = [sys.executable, "-c", _KILLED, str(bundle), KEY.seed.hex(), str(calls)]
    assert subprocess.run(command, check=False).returncode == (9 if calls < 5 else 0)
    read_manifest(bundle, ANY_SIGNER)  # whole in any case
    try:
        assert read_manifest(bundle, Trust((key.public,))).counter == (1000 if calls < 3 else 2000)
    except BundleError as error:
        assert calls == 3
        assert "is not the signature of this content" in str(error)  # noqa: PT017
    sign_bundle(bundle, key, 3000)
    assert read_manifest(bundle, Trust((key.public,))).counter == 3000


def test_keygen_and_sign_as_a_person_types_them(tmp_path, bundle, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keygen", "--out", "t.key", "--no-password"]) == 0
    told = capsys.readouterr().out
    public = (tmp_path / "t.pub").read_text().splitlines()[1]
    assert f'[trust]\nkeys = ["{public}"]' in told
    assert stat.S_IMODE((tmp_path / "t.key").stat().st_mode) == 0o600
    kept = (tmp_path / "t.key").read_bytes()
    assert main(["keygen", "--out", "t.key", "--no-password"]) == 1
    assert "a key is never overwritten" in capsys.readouterr().err
    assert (tmp_path / "t.key").read_bytes() == kept
    assert main(["sign", "bundle", "--key", "t.key"]) == 0
    assert f"signed by {parse_public_key(public).id}, counter 1" in capsys.readouterr().out
    assert read_manifest(bundle, Trust((parse_public_key(public),))).counter > 1_700_000_000
    assert main(["sign", "bundle", "--key", "t.key", "--counter", "7"]) == 0
    assert "will refuse this bundle" in capsys.readouterr().out
    assert main(["sign", "bundle", "--key", "t.pub"]) == 1
    assert "the secret key is the other file" in capsys.readouterr().err
    assert main(["sign", "nowhere", "--key", "t.key"]) == 1
    assert "there is no such bundle" in capsys.readouterr().err


def test_a_password_comes_from_a_file_or_a_person_and_from_nowhere_else(
    tmp_path, bundle, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.key").write_text(secret_text(KEY, b"pass word", **LIGHT))
    Path("pw").write_text("pass word\r\nsecond line\n")
    Path("empty").write_text("\n")
    sign = ["sign", "bundle", "--key", "t.key"]
    assert main([*sign, "--password-file", "pw"]) == 0
    assert main([*sign, "--password-file", "empty"]) == 1
    assert "must hold 1 to 1024 bytes" in capsys.readouterr().err
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert main(sign) == 1
    assert "give --password-file FILE" in capsys.readouterr().err


def test_a_new_password_is_typed_twice_at_a_terminal(tmp_path: Path) -> None:
    """On a real terminal, since that is where getpass reads."""
    code = "import sys; from export.password import typed_twice as t; print(t('new').hex())"
    for second, said in ((b"pw", b"7077"), (b"other", b"the two passwords differ")):
        child, terminal = pty.fork()
        if not child:
            os.execv(sys.executable, [sys.executable, "-c", code])
        shown = b""
        answers = [b"pw", second]
        while True:
            try:
                data = os.read(terminal, 1024)
            except OSError:
                break
            shown += data
            if answers and shown.count(b": ") == 3 - len(answers):
                os.write(terminal, answers.pop(0) + b"\n")
        os.waitpid(child, 0)
        assert said in shown
