"""Commands over MQTT: what is read, whose are obeyed, and each way to get in that is shut."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from remote_parts import KEY, KEYS, NOW_MS, OTHER, fresh, values

import edge.remote_auth
from edge.parse_remote import RemoteConfig
from edge.remote_auth import WINDOW_MS, authenticate, load_nonces
from edge.remote_command import (
    FIELDS,
    MAX_BACKFILL_MS,
    MAX_COMMAND_BYTES,
    Command,
    Refusal,
    decode_command,
)
from export.command_sign import make_command


def encoded(some) -> bytes:
    return json.dumps(some).encode()


def signed_values(what: str = "drill", time_ms: int = NOW_MS, key=KEY):
    return json.loads(make_command(values(what), key, time_ms))


def verdict(some, config=KEYS, now_ms=NOW_MS, nonces=None, gateway="bluff") -> str:
    found = decode_command(encoded(some))
    assert isinstance(found, Command), found
    told = authenticate(found, config, gateway, nonces or fresh(), now_ms)
    return told.reason if isinstance(told, Refusal) else "obeyed by " + told


@pytest.mark.parametrize("what", FIELDS)
def test_every_command_is_read_and_obeyed_when_it_is_signed(what: str) -> None:
    assert verdict(signed_values(what)) == f"obeyed by {KEY.public.id}"
    found = decode_command(encoded(values(what)))
    assert isinstance(found, Command)
    assert (found.id, found.what, found.who, found.nonce) == ("one", what, "ana", "")


@given(st.binary(max_size=300))
@example(b'{"id":' + b"[" * 100_000)
@example(b"9" * 5000)
@example(b'{"id": NaN}')
@example(b'"\xff"')
def test_no_bytes_make_decoding_raise(data: bytes) -> None:
    assert isinstance(decode_command(data), Refusal)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALAR,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_no_value_in_any_field_makes_decoding_raise(what: str, data: st.DataObject) -> None:
    some = values(what) | {"nonce": "n" * 16, "time_ms": 1, "signature": "x"}
    key = data.draw(st.sampled_from(sorted(some)) | st.text(max_size=8))
    found = decode_command(encoded(some | {key: data.draw(JSON)}))
    assert isinstance(found, (Command, Refusal))
    if isinstance(found, Refusal):
        assert found.reason == "malformed"
        assert found.text.isprintable()
        assert found.text.isascii()


@pytest.mark.parametrize(
    ("some", "said"),
    [
        ([], "not an object"),
        (values(extra=1), "unknown key 'extra'"),
        (values("health_now", station="slope"), "unknown key 'station'"),
        (values() | {"what": "rm -rf"}, "what: one of"),
        (values(level=2.0), "level: a whole number"),
        (values(level=True), "level: a whole number"),
        (values(level=9), "level: 1 to 4"),
        (values(id="../../x"), "id: must match"),
        (values(who="ana\nOK"), "who: a printable text"),
        (values(who="a" * 201), "who: a printable text"),
        (values(nonce="n" * 16), "go together"),
        (values(nonce="short", time_ms=1, signature="x"), "nonce: must match"),
        (values("backfill", to_ms=MAX_BACKFILL_MS + 1), "31 days at most"),
        (values("backfill", from_ms=2000), "31 days at most"),
        (values("telemetry_rate", every_ms=1), "every_ms: 100 to"),
        (values("install_bundle", name="../manifest.json"), "name: must match"),
        (values("install_bundle", name="/etc/passwd"), "name: must match"),
        (values("install_bundle", name=".hidden"), "name: must match"),
        (values("install_bundle", bundle=".."), "bundle: must match"),
        (values("install_bundle", bundle="a/b"), "bundle: must match"),
        (values("commit_bundle", bundle="../bundle"), "bundle: must match"),
        (values("commit_bundle", now=2), "now: 0 or 1"),
        (values("commit_bundle", now=True), "now: a whole number"),
        (values("install_bundle", index=1), "below total"),
        (values("install_bundle", total=10**6), "below total, which is 2048 at most"),
        (values("install_bundle", data="AAA"), "not base64"),
        (values("install_bundle", data="A" * 60_000), "32768 bytes at most"),
    ],
)
def test_what_is_no_command_says_why(some, said: str) -> None:
    found = decode_command(encoded(some))
    assert isinstance(found, Refusal)
    assert said in found.text


def test_what_is_too_long_or_says_a_thing_twice_is_refused() -> None:
    found = decode_command(b" " * (MAX_COMMAND_BYTES + 1))
    assert isinstance(found, Refusal)
    assert found.reason == "oversized"
    twice = encoded(values())[:-1] + b',"level":4}'
    assert decode_command(twice) == Refusal("", "malformed", "a key stands twice")


def test_strangers_and_old_acquaintances_are_refused() -> None:
    one = signed_values()
    assert verdict(values()) == "unsigned"
    assert verdict(one, RemoteConfig()) == "not_allowed"
    assert verdict(values(), RemoteConfig()) == "not_allowed"
    assert verdict(values(), RemoteConfig(allow_unsigned=True)) == "obeyed by "
    assert verdict(one, gateway="another") == "other_gateway"
    assert verdict(values(), RemoteConfig(allow_unsigned=True), gateway="x") == "other_gateway"
    assert verdict(one, now_ms=NOW_MS + WINDOW_MS) == f"obeyed by {KEY.public.id}"
    assert verdict(one, now_ms=NOW_MS + WINDOW_MS + 1) == "expired"
    assert verdict(one, now_ms=NOW_MS - WINDOW_MS - 1) == "expired"
    assert verdict(signed_values(key=OTHER)) == "unknown_key"
    assert verdict(one | {"signature": "AAAA"}) == "bad_signature"
    proof = bytearray(base64.b64decode(one["signature"]))
    proof[50] ^= 1
    forged = base64.b64encode(proof).decode()
    assert verdict(one | {"signature": forged}) == "bad_signature"


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_nothing_can_be_changed_under_a_signature(what: str, data: st.DataObject) -> None:
    some = signed_values(what)
    key = data.draw(st.sampled_from(sorted(set(some) - {"signature", "what"})))
    old = some[key]
    new = data.draw(st.integers(0, 4) if type(old) is int else st.sampled_from(
        ["x", "a" * 16, "b" * 64, "AAAB", "CCCC"]))  # fmt: skip
    found = decode_command(encoded(some | {key: new}))
    if isinstance(found, Command) and new != old:
        told = authenticate(found, KEYS, found.gateway, fresh(), found.time_ms)
        assert isinstance(told, Refusal)
        assert told.reason in ("bad_signature", "replayed")


SMALL = 4


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["new", "old", "restart"]),
            st.integers(-2 * WINDOW_MS, 2 * WINDOW_MS),
            st.integers(0, 30),
        ),
        max_size=40,
    )
)
def test_no_command_is_obeyed_twice_whatever_the_clock_does(steps) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge.remote_auth, "SLOTS", SMALL)
        stored: dict[str, bytes] = {}
        nonces = load_nonces(stored.get, 0)
        obeyed: list[tuple[str, int]] = []
        for i, (kind, shift_ms, which) in enumerate(steps):
            if kind == "restart":
                nonces = load_nonces(stored.get, 0)
                continue
            one = (f"n{i}", NOW_MS + shift_ms)
            if kind == "old" and obeyed:
                one = obeyed[which % len(obeyed)]
            if not nonces.seen(*one):
                stored |= nonces.remember(*one)
                assert one not in obeyed
                obeyed.append(one)
        assert len(stored) <= SMALL


def test_what_was_seen_is_known_after_a_restart_and_damage_makes_nobody_trusted() -> None:
    stored: dict[str, bytes] = {}
    nonces = fresh()
    for i in range(10):
        stored |= nonces.remember(f"n{i}", NOW_MS + i)
    again = load_nonces(stored.get, 0)
    assert again.seen("n3", NOW_MS + 3)
    assert not again.seen("other", NOW_MS + 3)
    spoilt = load_nonces((stored | {"remote.4": b"\xff"}).get, NOW_MS + 100)
    assert spoilt.seen("n3", NOW_MS + 3)
    assert not spoilt.seen("new", NOW_MS + 101)
