"""Whose bundles a gateway arms, in every command that opens one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.bundle
from edge.__main__ import main
from edge.bundle import Bundle, load_bundle, read_manifest
from edge.bundles import open_bundles, signed_counters
from edge.check import check
from edge.config import RuntimeConfig, load_config
from edge.counters import keep_counters, read_counters
from edge.errors import BundleError, ConfigError
from edge.gateway import Gateway
from edge.trust import ANY_SIGNER, SIGNATURE_FILE, Trust
from export.secret_key import SecretKey
from export.signing import sign_bundle
from firmware_bridge.minisign import PublicKey

ANY = RuntimeConfig(("onnxruntime",), "auto")
# Fixed: they are in the names of tests, which every process that runs some must agree on.
KEY, OTHER, THIRD = (SecretKey(bytes([n]) * 8, bytes([n]) * 32) for n in (1, 2, 3))
TRUST = Trust((KEY.public,))


def signed(folder: Path, counter: int = 5, key: SecretKey = KEY, name: str = "bluff") -> Path:
    tiny_bundle.make(folder, name)
    sign_bundle(folder, key, 0, counter)
    return folder


def keys(*some: PublicKey) -> str:
    return f"keys = {json.dumps([key.text for key in some])}"


def refusal(folder: Path, trust: Trust = TRUST) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, ANY, trust)
    return str(caught.value)


def test_a_bundle_signed_by_one_of_two_trusted_keys_is_armed(tmp_path: Path) -> None:
    folder = signed(tmp_path / "bundle")
    both = Trust((OTHER.public, KEY.public))
    assert load_bundle(folder, ANY, TRUST).signer == load_bundle(folder, ANY, both).signer
    assert load_bundle(folder, ANY, both).signer == KEY.public.id
    assert load_bundle(folder, ANY, ANY_SIGNER).signer == ""


def test_what_is_not_signed_by_a_trusted_key_is_refused_and_says_what_to_do(tmp_path) -> None:
    folder = signed(tmp_path / "bundle")
    said = refusal(folder, Trust((OTHER.public,)))
    assert f"signed by key {KEY.public.id}, trusted is {OTHER.public.id}" in said
    assert "put keys = [" in refusal(folder, Trust())
    assert "talus-export keygen" in refusal(folder, Trust())
    (folder / SIGNATURE_FILE).unlink()
    assert f"unsigned: there is no {SIGNATURE_FILE}" in refusal(folder)
    os.mkfifo(folder / SIGNATURE_FILE)
    assert "is no file" in refusal(folder)


def test_a_key_that_borrows_the_number_of_a_trusted_one_is_refused(tmp_path: Path) -> None:
    forger = replace(OTHER, number=KEY.number)
    folder = signed(tmp_path / "bundle", key=forger)
    assert "is not the signature of this content" in refusal(folder)
    assert load_bundle(folder, ANY, Trust((KEY.public, forger.public))).signer == KEY.public.id


def test_nothing_of_the_manifest_is_read_before_its_signature_holds(tmp_path, monkeypatch) -> None:
    folder = signed(tmp_path / "bundle")
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b" ")

    def never(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(edge.bundle, "parse_manifest", never)
    assert "is not the signature of this content" in refusal(folder)
    assert "nothing says whose bundles to trust" in refusal(folder, Trust())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_flipped_bit_of_anything_that_counts_is_refused(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        signed(folder)
    names = ["manifest.json", *(n for n, _, _ in read_manifest(folder, TRUST).files)]
    path = folder / data.draw(st.sampled_from(names))
    whole = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(whole)
    flipped[at] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        assert str(folder) in refusal(folder)
    finally:
        path.write_bytes(whole)


def test_the_signature_of_one_bundle_does_not_fit_another(tmp_path: Path) -> None:
    one, other = signed(tmp_path / "one"), signed(tmp_path / "other", 6)
    (one / SIGNATURE_FILE).replace(other / SIGNATURE_FILE)
    assert "is not the signature of this content" in refusal(other)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("keys = []", "trust.keys: one key, or two while one replaces the other; holds 0"),
        (keys(KEY.public, KEY.public), "trust.keys: holds the same key twice"),
        (keys(KEY.public, OTHER.public, THIRD.public), "holds 3"),
        ('keys = ["RWxx"]', "trust.keys[0]: 'RWxx...' is cut off or mistyped"),
        ('keys = "RW"', "trust.keys: must be a list"),
        ("keys = [1]", "trust.keys: must be a list of texts"),
        ('allow_unsigned = "yes"', "trust.allow_unsigned: must be true or false"),
        (keys(KEY.public) + "\nallow_unsigned = true", "would make them worthless"),
        ("key = 1", "trust.key: unknown key; did you mean 'keys'?"),
    ],
)
def test_a_mistake_in_trust_is_named_with_its_path(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tiny_bundle.gateway_toml(tmp_path, table))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("table", "ok", "of_trust", "of_bundle"),
    [
        ("", False, "nothing says whose bundles to trust", "not armed: nothing says whose"),
        ("allow_unsigned = true", True, "any bundle is armed", "not verified"),
        (keys(KEY.public), True, f"1 key: {KEY.public.id}", f"signed by {KEY.public.id}"),
        (keys(OTHER.public), False, f"1 key: {OTHER.public.id}", "signed by key"),
    ],
)
def test_check_and_replay_say_whom_they_trust(
    tmp_path: Path, capsys, table: str, ok: bool, of_trust: str, of_bundle: str
) -> None:
    signed(tmp_path / "bundle")
    path = tiny_bundle.gateway_toml(tmp_path, table)
    found = {f.path: f for f in check(path, listen_s=0.01, broker_wait_s=0.01)}
    assert of_trust in found["trust"].text
    assert found["trust"].ok == (table != "")
    assert of_bundle in found["station[0].bundle"].text
    assert found["station[0].bundle"].ok == ok
    csv = tmp_path / "a.csv"
    csv.write_text("time,crack,rain\n2024-01-01T00:00:00Z,1,0\n")
    assert main(["replay", str(csv), "--config", str(path)]) == (0 if ok else 1)
    assert ("station slope is NOT WATCHED" in capsys.readouterr().err) == (not ok)


def test_an_older_signed_bundle_is_refused_by_every_command(tmp_path: Path, capsys) -> None:
    folder = signed(tmp_path / "bundle", 5)
    path = tiny_bundle.gateway_toml(tmp_path, keys(KEY.public))
    config = load_config(path)
    config.data_dir.mkdir()
    keep_counters(config.data_dir, {"bluff": 6})
    why = open_bundles(config)["slope"]
    assert isinstance(why, str)
    assert "counter 5, this gateway has run 6" in why
    found = {f.path: f for f in check(path, listen_s=0.01, broker_wait_s=0.01)}
    assert "counter 5, this gateway has run 6" in found["station[0].bundle"].text
    assert main(["bundle", "show", str(folder), "--config", str(path)]) == 1
    assert "counter 5, this gateway has run 6" in capsys.readouterr().out
    sign_bundle(folder, KEY, 0)  # going back on purpose
    assert isinstance(open_bundles(config)["slope"], Bundle)
    assert read_counters(config.data_dir)[0] == {"bluff": 6}  # looking raises nothing


def test_an_unsigned_bundle_neither_raises_the_counter_nor_is_held_to_it(tmp_path: Path) -> None:
    tiny_bundle.make(tmp_path / "bundle", counter=2**40)
    config = load_config(tiny_bundle.gateway_toml(tmp_path, "allow_unsigned = true"))
    config.data_dir.mkdir()
    keep_counters(config.data_dir, {"bluff": 2**41})
    opened = open_bundles(config)
    assert isinstance(opened["slope"], Bundle)
    assert signed_counters(opened.values()) == {}


def test_of_two_bundles_of_one_name_the_older_is_refused_at_once(tmp_path: Path) -> None:
    signed(tmp_path / "bundle", 5)
    signed(tmp_path / "newer", 6)
    path = tiny_bundle.gateway_toml(tmp_path, keys(KEY.public))
    station = path.read_text().partition("[[station]]")[2]
    again = station.replace('"slope"', '"other"').replace('"bundle"', '"newer"')
    path.write_text(path.read_text() + "[[station]]" + again)
    opened = open_bundles(load_config(path))
    assert isinstance(opened["other"], Bundle)
    assert "counter 5, this gateway has run 6" in str(opened["slope"])


def test_a_damaged_store_of_counters_is_told_by_check(tmp_path: Path) -> None:
    signed(tmp_path / "bundle")
    path = tiny_bundle.gateway_toml(tmp_path, keys(KEY.public))
    (tmp_path / "talus-data").mkdir()
    (tmp_path / "talus-data" / "counters.json").write_text("{")
    found = {f.path: f for f in check(path, listen_s=0.01, broker_wait_s=0.01)}
    assert not found["trust"].ok
    assert "counters.json: damaged" in found["trust"].text
    assert found["station[0].bundle"].ok


def health(gateway: Gateway) -> dict:
    return dict(json.loads(gateway.desk.health(0, gateway._values).payload)["stations"]["slope"])


def test_a_gateway_keeps_the_counter_and_tells_who_signed(tmp_path: Path) -> None:
    folder = signed(tmp_path / "bundle", 5)
    config = load_config(tiny_bundle.gateway_toml(tmp_path, keys(KEY.public)))
    gateway = Gateway(config)
    told = health(gateway)
    assert told["signature"] == f"signed by {KEY.public.id}"
    assert (told["signed_by"], told["counter"]) == (KEY.public.id, 5)
    assert read_counters(config.data_dir) == ({"bluff": 5}, "")
    gateway._close()
    sign_bundle(folder, KEY, 0, 4)
    gateway = Gateway(config)
    told = health(gateway)
    assert (told["signature"], told["bundle"]) == (None, None)
    assert "counter 4, this gateway has run 5" in told["unarmed"]
    gateway._close()
    assert read_counters(config.data_dir) == ({"bluff": 5}, "")
