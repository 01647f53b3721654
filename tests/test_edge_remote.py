"""Commands over MQTT: what a gateway does with them, answers and writes down."""

from __future__ import annotations

import pytest
from remote_parts import KEY, KEYS, NOW_MS, Side, fresh, values

from edge.config import load_config
from edge.errors import ConfigError, TalusError
from edge.order import Order
from edge.remote import REFUSALS
from edge.remote_auth import authenticate
from edge.remote_command import (
    Command,
    Commit,
    decode_command,
)
from export.__main__ import main
from export.command_sign import make_command
from export.secret_key import secret_text


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


def test_a_bundle_is_tried_for_a_day_unless_it_says_otherwise(tmp_path) -> None:
    for name, trial, hours in (("a", "", 24), ("b", "trial_h = 0.5", 0.5), ("c", "trial_h = 0", 0)):
        side = Side(tmp_path / name, trial=trial)
        assert side.config.remote.trial_ms == hours * 3_600_000


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
        (f"keys = [{key}]\ntrial_h = -1", "remote.trial_h: "),
        (f"keys = [{key}]\ntrial_h = 720.5", "remote.trial_h: "),
        (f"keys = [{key}]\ntrial_h = nan", "remote.trial_h: "),
        (f'keys = [{key}]\ntrial_h = "24"', "remote.trial_h: "),
    ):
        path.write_text(
            text.replace(f"[remote]\nkeys = [{key}]\ntrial_h = 0", f"[remote]\n{remote}"),
            encoding="utf-8",
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
        (["commit", "*", "slope-7", "--now"], "commit_bundle"),
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
    if what == "commit_bundle":
        assert found.body == Commit("*", "slope-7", now="--now" in words)
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
