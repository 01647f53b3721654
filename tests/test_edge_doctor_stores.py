"""``talus doctor`` on what is stored: bundles, certificates, the outbox, and who may see it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from doctor_parts import UNSIGNED, doctor, of, program, site

from edge import doctor_saved
from edge.config import INDEX, load_config
from edge.doctor_ports import ports
from edge.doctor_process import Process
from edge.doctor_saved import Saved
from edge.message import ALARM, Message
from edge.outbox import Outbox


def test_bundles_are_proven_here_and_trust_is_told(tmp_path, capsys) -> None:
    config = site(tmp_path)
    words = ("--config", str(config), "--only", "bundles,trust,runtime")
    code, found = doctor(capsys, *words)
    assert code == 0
    assert of(found, "trust")["state"] == "warn"
    assert "meets its golden outputs" in of(found, "bundles", "slope")["text"]
    assert doctor(capsys, *words, "--strict")[0] == 1
    golden = tmp_path / "bundle" / "gru.onnx"
    golden.write_bytes(golden.read_bytes()[:-1] + b"\0")
    code, found = doctor(capsys, *words, "--health-gate")
    assert code == 1
    assert (of(found, "bundles")["state"], of(found, "bundles")["gate"]) == ("fault", True)
    config.write_text(config.read_text().replace(UNSIGNED, ""))
    found = of(doctor(capsys, *words)[1], "trust")
    assert (found["state"], "[trust]" in found["fix"]) == ("fault", True)


def test_a_bundle_on_trial_is_told(tmp_path, capsys) -> None:
    config = load_config(site(tmp_path))
    index = config.data_dir / INDEX
    index.parent.mkdir(parents=True)
    for more, said in ({}, "demo-2 is tried beside"), ({"passed": True}, "demo-2 has passed"):
        tried = {"slope": {"bundle": "demo-2", "time_ms": 1, **more}}
        index.write_text(json.dumps({"proven": {}, "armed": {}, "trial": tried}))
        _, found = doctor(capsys, "--config", str(tmp_path / "gateway.toml"), "--only", "bundles")
        texts = [each["text"] for each in found if each["check"] == "bundles"]
        assert texts[0].startswith(said)
        assert "meets its golden outputs" in texts[1]


def certificate(path: Path, begins: timedelta, ends: timedelta) -> None:
    now = datetime.now(timezone.utc)
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(now + begins).not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(
    ("begins_d", "ends_d", "state", "text"),
    [(-5, 400, "ok", "holds until"), (-5, 12, "warn", "ends in 12 days"),
     (-5, -1, "fault", "expired on"), (2, 400, "fault", "not valid before")],
)  # fmt: skip
def test_certificates_are_told_before_they_end(
    tmp_path, capsys, begins_d, ends_d, state, text
) -> None:
    config = site(tmp_path)
    names = 'ca_file = "ca.crt"\ncert_file = "gateway.crt"\nkey_file = "gateway.key"'
    config.write_text(config.read_text().replace("[mqtt]", f"[mqtt]\n{names}"))
    certificate(tmp_path / "ca.crt", timedelta(-1), timedelta(900))
    certificate(tmp_path / "gateway.crt", timedelta(begins_d),
                timedelta(ends_d, 600))  # fmt: skip
    _, found = doctor(capsys, "--config", str(config), "--only", "certificates")
    assert of(found, "certificates", "ca.crt")["state"] == "ok"
    own = of(found, "certificates", "gateway.crt")
    assert own["state"] == state
    assert text in own["text"]


def test_the_certificate_that_a_real_broker_shows(tmp_path, capsys) -> None:
    from mqtt_parts import ReferenceBroker, mosquitto_path

    if mosquitto_path() is None:
        pytest.skip("NOT TESTED: mosquitto is not installed")
    with ReferenceBroker(tmp_path / "room") as broker:
        broker.config("gw1")  # puts the files where the snippet has them
        folder = broker.files("gw1")
        config = site(tmp_path / "gw")
        text = re.sub(r"\[mqtt\]\n.*\n.*\n", "", config.read_text())
        text = text.replace('name = "bluff"', 'name = "gw1"', 1)
        config = folder / "gateway.toml"
        config.write_text(text + (folder / "mqtt.toml").read_text())
        words = ("--config", str(config), "--only", "broker,certificates")
        code, found = doctor(capsys, *words)
        assert code == 0
        assert of(found, "broker")["state"] == "ok"
        assert of(found, "certificates", "of 127.0.0.1")["value"] > 100
    code, found = doctor(capsys, *words)
    assert code == 1
    assert "check: is the broker running" in of(found, "broker")["fix"]
    assert not [d for d in found if d["subject"].startswith("of ")]


def test_alarms_that_wait_and_what_damage_has_left(tmp_path, capsys) -> None:
    config, data = site(tmp_path), tmp_path / "talus-data"
    words = ("--config", str(config), "--only", "outbox")
    assert of(doctor(capsys, *words)[1], "outbox")["state"] == "skipped"
    outbox = Outbox(data, 10**8)
    old_ms = int(time.time() * 1000) - 7_200_000
    for n in range(3):
        payload = json.dumps({"received_ms": old_ms + n, "kind": "level"}).encode()
        outbox.put([Message("talus/a/s/alarm", payload, ALARM, id=f"s-{n}")])
    for _ in range(2):  # while somebody has it open, and after
        before = sorted(path.name for path in data.iterdir())
        code, found = doctor(capsys, *words)
        assert code == 1
        assert "3 wait to be sent, the oldest for 2 h" in of(found, "outbox", "alarms")["text"]
        assert sorted(path.name for path in data.iterdir()) == before
        outbox.close()
    (data / "outbox.damaged.7-0.db").write_bytes(b"x")
    found = of(doctor(capsys, *words)[1], "outbox", "damage")
    assert found["text"] == "1 damaged file set aside"
    content = bytearray((data / "outbox.db").read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    (data / "outbox.db").write_bytes(content)
    code, found = doctor(capsys, *words, "--health-gate")
    assert code == 1
    assert of(found, "outbox")["gate"]


def test_a_gateway_that_starts_meanwhile_is_no_damage(tmp_path, monkeypatch) -> None:
    path, opened = tmp_path / "outbox.db", []
    path.touch()
    real = doctor_saved._address

    def address(at: Path) -> str:
        found = real(at)
        if not opened:  # opened as a file that nobody writes to; then talus run starts
            opened.append(Outbox(tmp_path, 10**8))
            opened[0].put([Message("t/a", b"{}", ALARM, id="s-1")])
        return found

    monkeypatch.setattr(doctor_saved, "_address", address)
    found = doctor_saved.read_saved(tmp_path)
    opened[0].close()
    assert (found.wrong, found.alarms) == ("", 1)


def test_an_outbox_after_a_kill_is_read_as_it_stands(tmp_path, capsys) -> None:
    config = site(tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from edge.outbox import Outbox;"
        "from edge.message import ALARM, Message; o = Outbox(Path(sys.argv[1]), 10**8);"
        "o.put([Message('t/a', b'{\"received_ms\": 1}', ALARM, id='s-1')]); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "talus-data")], check=False)
    assert (tmp_path / "talus-data" / "outbox.db-wal").stat().st_size
    found = doctor(capsys, "--config", str(config), "--only", "outbox")[1]
    assert of(found, "outbox", "alarms")["value"] == 1
    with sqlite3.connect(tmp_path / "talus-data" / "outbox.db") as db:
        assert db.execute("SELECT COUNT(*) FROM message").fetchone() == (1,)


def test_rules_alone_need_no_trust(tmp_path, capsys) -> None:
    config = site(tmp_path)
    text = config.read_text().replace(UNSIGNED, "")
    text = re.sub(r"^bundle = .*\n", "", text, flags=re.MULTILINE)
    channel = "[[station.channel]]"
    config.write_text(
        text.replace(channel, f'[station.decision]\nprofile = "single"\n{channel}', 1)
    )
    words = ("--config", str(config), "--only", "config,trust,bundles")
    code, found = doctor(capsys, *words, "--health-gate")
    assert of(found, "config")["state"] == "ok"
    assert of(found, "trust")["state"] == "skipped"
    assert code == 0


def test_a_state_whose_parts_cannot_be_read_breaks_no_check(tmp_path) -> None:
    config = load_config(site(tmp_path))
    saved = Saved(exists=True, state={"gates": None, "maintained": None, "stations": None})
    process = Process(7, 0.0, None, None)
    assert [d.state for d in ports(config, process, saved, 0.0)] == ["unsure"]
    process = Process(7, 0.0, None, frozenset())
    assert [d.state for d in ports(config, process, saved, 0.0)] == ["fault"]


def test_the_second_path_and_whose_commands_are_obeyed(tmp_path, capsys) -> None:
    config = site(tmp_path)
    program(tmp_path, "siren", "exit 0")
    tables = f"""
[remote]
allow_unsigned_commands = true
[second_path.sms]
device = "{tmp_path}/modem"
numbers = ["+4312345678"]
[[second_path.output]]
name = "siren"
command = ["{tmp_path}/usr/bin/siren", "on"]
[[second_path.output]]
name = "lamp"
command = ["{tmp_path}/usr/bin/lamp"]
"""
    config.write_text(config.read_text() + tables)
    _, found = doctor(capsys, "--config", str(config), "--only", "second_path,remote")
    assert of(found, "second_path", "second_path.sms")["state"] == "fault"
    assert of(found, "second_path", "second_path.output[0]")["state"] == "ok"
    assert of(found, "second_path", "second_path.output[1]")["state"] == "fault"
    assert of(found, "remote")["state"] == "warn"
