"""Updates over MQTT: gathered by talus run, put in by the service, told; with a real gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from remote_parts import KEY, OTHER, Side
from update_parts import KEY as KEY_OF_ROOT
from update_parts import Root

import edge.remote_update
import export.command_sign
from edge.schema_commands import load_schema
from edge.update_command import main as service
from export.command_sign import update_chunks
from export.secret_key import secret_text
from export.update_sign import sign_update

PATIENCE_S = 60.0


@pytest.fixture
def side(tmp_path: Path, monkeypatch) -> Side:
    (tmp_path / "root/var/lib/talus-update").mkdir(parents=True)
    monkeypatch.setenv("TALUS_ROOT", str(tmp_path / "root"))
    return Side(tmp_path / "gateway")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()


def new_config(side: Side, counter: int = 7, key=KEY) -> Path:
    path = side.folder / "new.toml"
    text = (side.folder / "gateway.toml").read_text()
    path.write_text(f"# new {counter}\n{text}" + "#" * 300)
    sign_update(path, "config", key, counter)
    return path


def parts(path: Path) -> tuple[list[dict], list[dict]]:
    signature = path.with_name(f"{path.name}.minisig")
    return list(update_chunks("config", signature)), list(update_chunks("config", path))


def send(side: Side, path: Path) -> dict:
    reply: dict = {}
    for values in [each for some in parts(path) for each in some]:
        reply = side.say(**values)
        if not reply["done"]:
            return reply
    return reply


def told(side: Side, outcome: str = "committed", identity: str = "one", **more) -> None:
    """What talus-update writes."""
    values = {"format": 1, "id": identity, "kind": "config", "counter": 7, "outcome": outcome,
              "text": "in words", "time_ms": 5} | more  # fmt: skip
    place = Path(os.environ["TALUS_ROOT"]) / "var/lib/talus-update/outcome.json"
    place.write_text(json.dumps(values))


def test_a_configuration_is_gathered_in_parts_over_a_restart_and_handed_over(side, monkeypatch):
    for module in (edge.remote_update, export.command_sign):
        monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    path = new_config(side)
    head, rest = parts(path)
    assert len(rest) > 8
    assert "must come first" in side.say(**rest[0])["text"]
    monkeypatch.setattr(export.command_sign, "CHUNK_BYTES", 32768)
    (head,) = parts(path)[0]
    assert side.say(**head)["next"] == 0
    assert side.say(**rest[1])["next"] == 0
    assert side.say(**rest[0])["next"] == 2
    assert side.say(**rest[0])["next"] == 2  # twice is once
    assert not side.say(what="commit_update", update="config")["done"]
    again = side.again()
    assert again.say(**head)["next"] == 2
    for values in rest[2:]:
        reply = again.say(**values)
    assert "next" not in reply
    assert "whole" in reply["text"]
    reply = again.say(what="commit_update", update="config")
    assert (reply["done"], reply["more"]) == (True, True)
    assert "systemctl start talus-update" in reply["text"]  # data_dir is where nothing starts it
    folder = again.config.data_dir / "updates"
    assert (folder / "config").read_bytes() == path.read_bytes()
    request = json.loads((folder / "request").read_text())
    assert (request["kind"], request["id"], request["who"]) == ("config", reply["id"], "ana")

    told(again, identity=reply["id"])
    again.ahead_ms += 5000
    again.until(lambda: [r for r in again.replies() if r["text"] == "in words"])
    last = again.replies()[-1]
    assert (last["id"], last["done"], last["what"]) == (reply["id"], True, "commit_update")
    assert not (folder / "config").exists()
    values = again.remote.values()
    assert values["update"]["outcome"] == "committed"
    schema = load_schema("health")["properties"]["remote"]
    assert list(Draft202012Validator(schema).iter_errors(values)) == []
    valid = Draft202012Validator(load_schema("reply"))
    assert [e.message for each in again.replies() for e in valid.iter_errors(each)] == []
    assert "update committed: in words" in again.audit()[-1]
    again.ahead_ms += 5000
    again.remote.look(again.now_ms())
    third = again.again()
    third.ahead_ms += 10_000
    third.remote.look(third.now_ms())
    assert [r for r in third.replies() if r["text"] == "in words"] == [last]  # told once


def test_one_that_was_taken_back_is_told_as_not_done(side: Side) -> None:
    told(side, "reverted")
    side.ahead_ms += 5000
    side.until(lambda: [r for r in side.replies() if r["id"] == "one"])
    assert not side.replies()[-1]["done"]


def answers(side: Side, ahead_ms: int = 5000) -> int:
    """How often an outcome was told, one more look later."""
    side.ahead_ms += ahead_ms
    side.remote.look(side.now_ms())
    return len([r for r in side.replies() if r["text"] == "in words"])


def test_a_mark_that_cannot_be_read_stops_nothing(side: Side) -> None:
    (side.config.data_dir / "updates").mkdir(exist_ok=True)
    (side.config.data_dir / "updates/told").write_bytes(b"\xff\xfe one")
    told(side)
    assert answers(side) == 1


def test_an_outcome_is_told_until_that_is_on_disk_and_no_longer(side: Side) -> None:
    mark = side.config.data_dir / "updates/told"
    mark.mkdir(parents=True)  # as a full disk: it cannot be written
    told(side)
    assert [answers(side) for _ in range(3)] == [1, 1, 1]
    side = side.again()  # the power went: it may have been in memory alone
    assert [answers(side, ms) for ms in (30_000, 5000)] == [2, 2]
    mark.rmdir()
    assert answers(side) == 2
    side = side.again()
    assert answers(side, 60_000) == 2


def test_what_waits_for_root_is_neither_replaced_nor_forgotten(side: Side) -> None:
    assert send(side, new_config(side))["done"]
    identity = side.say(what="commit_update", update="config")["id"]
    request = side.config.data_dir / "updates/request"
    whole = request.read_bytes()
    assert "not taken yet" in side.say(what="commit_update", update="config")["text"]
    assert "not taken yet" in send(side, new_config(side, 8))["text"]
    told(side, identity="an earlier one")
    assert answers(side) == 1
    assert request.read_bytes() == whole
    assert (side.config.data_dir / "updates/config").exists()
    request.unlink()  # root has taken it
    told(side, identity=identity, time_ms=6)
    assert answers(side) == 2
    assert not (side.config.data_dir / "updates/config").exists()
    assert send(side, new_config(side, 8))["done"]


def test_what_was_refused_by_hand_takes_nothing_from_what_comes(side: Side) -> None:
    assert send(side, new_config(side))["done"]
    told(side, "refused", identity="", kind="", counter=0)
    answers(side)
    assert "refused: in words" in side.audit()[-1]
    assert side.say(what="commit_update", update="config")["done"]


def test_what_is_not_as_signed_is_not_taken(side: Side) -> None:
    assert "trusted is" in send(side, new_config(side, key=OTHER))["text"]
    path = new_config(side)
    (head,), rest = parts(path)
    said = side.say(**head | {"what": "install_package"})
    assert "signed as config, sent as package" in said["text"]
    assert side.say(**head)["done"]
    assert "not the file" in side.say(**rest[0] | {"sha256": "0" * 64})["text"]
    assert "not the file" in side.say(**rest[0] | {"total": 2})["text"]
    assert "not of its size" in side.say(**rest[0] | {"data": "AAAA"})["text"]
    wrong = rest[0]["data"].replace("A", "B")
    assert side.say(**rest[0] | {"data": wrong})["done"]
    assert "send it again" in side.say(what="commit_update", update="config")["text"]
    counters = Path(os.environ["TALUS_ROOT"]) / "var/lib/talus-update/counters.json"
    counters.write_text(json.dumps({"config": [8, "0" * 64]}))
    assert "had counter 8" in send(side, path)["text"]
    assert not (side.config.data_dir / "updates/request").exists()


def test_too_little_room_leaves_the_disk_to_alarms(side: Side, monkeypatch) -> None:
    monkeypatch.setattr(edge.remote_update, "FREE_BYTES", 1 << 60)
    assert "too little room" in send(side, new_config(side))["text"]


def test_nobody_who_puts_it_in_is_told(side: Side) -> None:
    assert send(side, new_config(side))["done"]
    (Path(os.environ["TALUS_ROOT"]) / "var/lib/talus-update").rmdir()
    assert "talus-update comes with" in side.say(what="commit_update", update="config")["text"]


@pytest.fixture
def real(tmp_path: Path, monkeypatch, broker):
    root = Root(tmp_path / "real", broker.port)
    monkeypatch.setenv("TALUS_ROOT", str(root.root))
    root.real()
    yield root
    root.systemctl("stop")


@pytest.mark.parametrize(("damage", "outcome"), [("", "committed"), ("ca_file", "reverted")])
def test_a_real_gateway_is_watched_by_the_real_doctor_and_keeps_what_serves(
    real: Root, damage: str, outcome: str
) -> None:
    """A real talus run, talus doctor and broker; by hand, as a technician does."""
    first = (real.root / "pid").read_text()
    path = real.new_config()
    if damage:  # it parses, and nothing can be read that it names: talus run does not start
        head = 'host = "127.0.0.1"'
        path.write_text(path.read_text().replace(head, f'{head}\n{damage} = "nowhere"'))
        sign_update(path, "config", KEY_OF_ROOT, 5)
    done = subprocess.run(
        [sys.executable, "-m", "edge", "update", path, "--gate", "20", "--settle", "1"],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert real.outcome()["outcome"] == outcome, done.stderr
    assert done.returncode == (0 if outcome == "committed" else 1)
    assert real.mark() == ("new" if outcome == "committed" else "old")
    now = (real.root / "pid").read_text()
    os.kill(int(now), 0)
    assert now != first
    assert service(["--gate", "0", "--settle", "0"]) == 0  # nothing is left to do


def test_from_the_desk_over_a_broker_into_a_real_gateway_and_back_told(real: Root) -> None:
    key = real.folder / "room.key"
    key.write_text(secret_text(KEY_OF_ROOT, b""), encoding="utf-8")
    path = real.new_config()
    head = [sys.executable, "-m", "export", "command", "--gateway", "bluff", "--key", str(key),
            "--broker", f"127.0.0.1:{real.port}", "--wait", "60"]  # fmt: skip
    sent = subprocess.run(
        [*head, "install-config", path], capture_output=True, text=True, check=False, timeout=120
    )
    assert sent.returncode == 0, sent.stderr
    assert "whole: commit_update config puts it in" in sent.stdout
    asking = subprocess.Popen([*head, "commit-update", "config"], text=True, stdout=subprocess.PIPE)
    request = real.sent / "request"
    end_s = time.monotonic() + PATIENCE_S
    while not request.exists():  # as the path unit does
        assert time.monotonic() < end_s
        time.sleep(0.05)
    assert service(["--gate", "30", "--settle", "1"]) == 0
    said, _ = asking.communicate(timeout=120)
    assert (asking.returncode, real.mark()) == (0, "new"), said
    assert "config bluff (counter 5) runs and stays" in said
