"""Commands over MQTT: what is read, whose are obeyed, and each way to get in that is shut."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from remote_parts import KEY, OTHER, Side

import edge.remote_auth
from edge.config import load_config
from edge.errors import ConfigError, TalusError
from edge.order import Order
from edge.parse_remote import RemoteConfig
from edge.remote import REFUSALS
from edge.remote_auth import WINDOW_MS, authenticate, load_nonces
from edge.remote_command import (
    FIELDS,
    MAX_BACKFILL_MS,
    MAX_COMMAND_BYTES,
    Command,
    Refusal,
    decode_command,
)
from export.__main__ import main
from export.command_sign import make_command
from export.secret_key import secret_text

NOW_MS = 1_700_000_000_000
SAMPLES = {
    "acknowledge": {"station": "slope", "why": "seen"},
    "shelve": {"station": "slope", "rule": "models", "until_ms": NOW_MS, "why": "digging"},
    "drill": {"station": "slope", "level": 2},
    "rezero": {"station": "slope", "channel": "crack"},
    "health_now": {},
    "telemetry_rate": {"every_ms": 1000, "until_ms": NOW_MS},
    "backfill": {"from_ms": 0, "to_ms": 1000},
    "install_bundle": {"bundle": "b", "name": "a.onnx", "index": 0, "total": 1,
                       "sha256": "a" * 64, "data": "AAAA"},
    "commit_bundle": {"station": "slope", "bundle": "b"},
}  # fmt: skip
KEYS = RemoteConfig((KEY.public,))


def values(what: str = "drill", **changed):
    return {"id": "one", "gateway": "bluff", "who": "ana", "what": what} | SAMPLES[what] | changed


def encoded(some) -> bytes:
    return json.dumps(some).encode()


def signed_values(what: str = "drill", time_ms: int = NOW_MS, key=KEY):
    return json.loads(make_command(values(what), key, time_ms))


def fresh(stored=None):
    return load_nonces((stored or {}).get, NOW_MS - 10 * WINDOW_MS)


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


def test_orders_go_the_way_of_the_command_line_and_are_answered_by_their_id(tmp_path) -> None:
    side = Side(tmp_path)
    data = make_command(values("drill") | {"id": "d-1"}, KEY, side.now_ms())
    (order,) = side.send(data)
    assert order == Order("d-1", "drill", "slope", "ana", level=2)
    side.remote.answer(order, side.now_ms(), done=True, text="DRILL")
    (reply,) = side.replies()
    assert (reply["id"], reply["done"], reply["text"]) == ("d-1", True, "DRILL")
    assert not list((side.config.data_dir).glob("orders/*.reply"))
    assert side.send(data) == []
    assert side.replies()[-1]["reason"] == "replayed"
    again = side.again()
    assert again.send(data) == []
    assert again.replies()[-1]["reason"] == "replayed"
    assert "over MQTT by key " + KEY.public.id + " done: DRILL" in again.audit()[0]
    assert "nonce" not in again.audit()[0]
    assert "refused: replayed" in again.audit()[-1]


def test_a_flood_is_counted_and_neither_fills_the_outbox_nor_the_audit(tmp_path) -> None:
    side = Side(tmp_path)
    for i in range(3 * REFUSALS):
        side.send(b"%d" % i)
    assert side.remote.values() == {"accepted": 0, "refused": {"malformed": 3 * REFUSALS}}
    assert len(side.replies()) == REFUSALS
    assert len(side.audit()) == REFUSALS
    side.ahead_ms += 61_000
    side.remote.look(side.now_ms())
    assert f"{2 * REFUSALS} more commands were refused" in side.audit()[-1]
    assert side.say(what="health_now")["done"]


def test_without_keys_nothing_is_obeyed_unless_the_broker_alone_is_trusted(tmp_path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    shut = Side(tmp_path / "a", "# nothing")
    assert shut.say(what="health_now")["reason"] == "not_allowed"
    opened = Side(tmp_path / "b", "allow_unsigned_commands = true")
    assert opened.say(None, what="health_now")["done"]
    assert opened.remote.hurried() == {"health": 0.0}
    assert opened.remote.hurried() == {}


def test_the_telemetry_rate_is_set_for_a_time(tmp_path) -> None:
    side = Side(tmp_path)
    usual = side.remote.telemetry_every_ms
    until_ms = side.now_ms() + 3_600_000
    reply = side.say(what="telemetry_rate", every_ms=250, until_ms=until_ms)
    assert reply["text"] == f"telemetry every 0.25 s until {until_ms}"
    assert side.remote.telemetry_every_ms == 250
    assert side.remote.hurried() == {"telemetry": 0.0}
    far = side.say(what="telemetry_rate", every_ms=500, until_ms=until_ms + 7 * 86_400_000)
    assert (far["done"], far["text"]) == (False, "for 7 days at most")
    assert side.remote.telemetry_every_ms == 250
    side.ahead_ms += 3_600_001
    side.remote.look(side.now_ms())
    assert side.remote.telemetry_every_ms == usual
    assert side.remote.hurried() == {"telemetry": 0.0}


def test_a_disk_that_keeps_no_nonce_keeps_a_command_from_being_obeyed(tmp_path) -> None:
    side = Side(tmp_path)
    side.outbox._store._db.execute("PRAGMA query_only = ON")
    data = make_command(values("drill"), KEY, side.now_ms())
    assert side.send(data) == []
    assert side.remote.refused == {"disk": 1}
    side.outbox._store._db.execute("PRAGMA query_only = OFF")
    assert side.send(data) == []  # it may be signed anew, it is not obeyed late
    assert side.remote.refused == {"disk": 1, "replayed": 1}


def test_the_table_remote_says_what_is_wrong_with_it(tmp_path) -> None:
    side = Side(tmp_path)
    path = tmp_path / "gateway.toml"
    text = path.read_text(encoding="utf-8")
    assert side.config.remote.keys == (KEY.public,)
    key = f'"{KEY.public.text}"'
    for remote, said in (
        ('keys = ["RWabc"]', "remote.keys[0]"),
        ("keys = []", "remote.keys: one to 8 keys; holds 0"),
        (f"keys = [{key}, {key}]", "remote.keys: holds the same key twice"),
        (f"keys = [{key}]\nallow_unsigned_commands = true", "would make them worthless"),
        ("key = 1", "remote.key: unknown key"),
    ):
        path.write_text(
            text.replace(f"[remote]\nkeys = [{key}]", f"[remote]\n{remote}"), encoding="utf-8"
        )
        with pytest.raises(ConfigError, match="remote") as caught:
            load_config(path)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["ack", "slope", "--why", "seen"], "acknowledge"),
        (["shelve", "slope", "models", "--for", "8h"], "shelve"),
        (["drill", "slope", "--level", "3"], "drill"),
        (["rezero", "slope", "crack"], "rezero"),
        (["health-now"], "health_now"),
        (["telemetry-rate", "--every", "0.5", "--for", "30min"], "telemetry_rate"),
        (["backfill", "--from", "2026-03-01T00:00", "--to", "2026-03-01T06:00+01:00"], "backfill"),
        (["commit", "*", "slope-7"], "commit_bundle"),
    ],
)
def test_the_command_line_prints_what_a_gateway_obeys(tmp_path, capsys, words, what: str) -> None:
    (tmp_path / "room.key").write_text(secret_text(KEY, b""))
    key = ["--key", str(tmp_path / "room.key")]
    assert main(["command", "--gateway", "bluff", *key, *words]) == 0
    found = decode_command(capsys.readouterr().out.strip().encode())
    assert isinstance(found, Command)
    assert found.what == what
    told = authenticate(found, KEYS, "bluff", fresh(), found.time_ms)
    assert told == KEY.public.id
    if what == "backfill":
        assert found.body.to_ms - found.body.from_ms == 5 * 3_600_000


def test_the_command_line_says_what_is_wrong(tmp_path, capsys) -> None:
    common = ["command", "--gateway", "bluff"]
    assert main([*common, "--broker", "127.0.0.1:1", "health-now"]) == 1
    assert "no connection to 127.0.0.1:1" in capsys.readouterr().err
    assert main([*common, "telemetry-rate", "--every", "0.001", "--for", "1h"]) == 1
    assert "every_ms: 100 to" in capsys.readouterr().err
    (tmp_path / "pw").write_text("wrong")
    key = secret_text(KEY, b"right", ops_limit=32768, memory_limit=16_777_216)
    (tmp_path / "room.key").write_text(key)
    words = ["--key", str(tmp_path / "room.key"), "--password-file", str(tmp_path / "pw")]
    assert main([*common, *words, "health-now"]) == 1
    assert capsys.readouterr().err.strip().endswith("wrong password")
    with pytest.raises(SystemExit):
        main([*common, "shelve", "slope", "models", "--for", "soon"])


def test_a_command_that_no_gateway_would_read_is_not_signed() -> None:
    with pytest.raises(TalusError, match="level: 1 to 4"):
        make_command(values(level=7), KEY, NOW_MS)
