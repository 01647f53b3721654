"""``talus-export broker``: what is written, for whom it can be read, and what renewing leaves."""

from __future__ import annotations

import stat
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.errors import TalusError
from export.__main__ import main
from export.broker.authority import Authority, Pair, ends_at
from export.broker.write import read_plan

HOST = ["--host", "mqtt.example.org", "--host", "10.0.0.5"]


def broker(out: Path, *words: str) -> int:
    return main(["broker", "--out", str(out), *words])


@pytest.fixture
def made(tmp_path):
    out = tmp_path / "broker"
    assert broker(out, *HOST, "--gateway", "gw1", "--gateway", "gw2", "--port", "9883") == 0
    return out


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_every_key_is_its_owners_alone(made) -> None:
    keys = sorted(made.rglob("*.key"))
    assert [str(k.relative_to(made)) for k in keys] == [
        "authority/ca.key", "gateways/gw1/gateway.key", "gateways/gw2/gateway.key",
        "mosquitto/server.key", "room/room.key",
    ]  # fmt: skip
    assert {stat.S_IMODE(k.stat().st_mode) for k in keys} == {0o600}
    assert stat.S_IMODE((made / "authority").stat().st_mode) == 0o700
    secret = keys[0].read_bytes()
    copies = [p for p in made.rglob("*") if p.is_file() and p.read_bytes() == secret]
    assert copies == [made / "authority" / "ca.key"]  # it goes to no machine
    assert len({k.read_bytes() for k in keys}) == 5


def test_certificates_say_for_whom_for_what_and_how_long(made) -> None:
    ca = certificate(made / "authority" / "ca.crt")
    server = certificate(made / "mosquitto" / "server.crt")
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mqtt.example.org"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.5"]
    for path, name, usage in (
        ("mosquitto/server", "mqtt.example.org", ExtendedKeyUsageOID.SERVER_AUTH),
        ("gateways/gw1/gateway", "gw1", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("room/room", "room", ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        found = certificate(made / f"{path}.crt")
        found.verify_directly_issued_by(ca)
        assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name
        usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usages) == [usage]  # a gateway cannot play the broker
        assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        left = found.not_valid_after_utc - datetime.now(timezone.utc)
        assert timedelta(days=824) < left <= timedelta(days=825)


def test_openssl_agrees(made) -> None:
    command = ["openssl", "verify", "-x509_strict", "-CAfile", made / "authority" / "ca.crt"]
    for path in ("mosquitto/server.crt", "gateways/gw2/gateway.crt", "room/room.crt"):
        done = subprocess.run([*command, made / path], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_access_list_names_each_gateway_and_gives_it_its_own(made) -> None:
    rules_of = {}
    for part in (made / "mosquitto" / "acl").read_text(encoding="utf-8").split("\nuser ")[1:]:
        name, *rules = part.strip().splitlines()
        rules_of[name] = rules
    own = ("status", "health", "reply", "alarm", "+/alarm", "+/state", "+/telemetry",
           "+/forecast", "+/cap")  # fmt: skip
    assert rules_of == {
        "room": ["topic read talus/#", "topic write talus/+/command", "topic read homeassistant/#",
                 "topic read v1.1/#"],
    } | {
        name: [
            f"topic read talus/{name}/command",
            *(f"topic write talus/{name}/{kind}" for kind in own),
            f"topic write homeassistant/sensor/{name}/+/config",
            f"topic write homeassistant/binary_sensor/{name}/+/config",
        ]
        for name in ("gw1", "gw2")
    }  # fmt: skip


def test_a_datastream_is_written_by_the_gateway_that_it_was_given_to_and_stays_so(made) -> None:
    def acl() -> list[str]:
        text = (made / "mosquitto" / "acl").read_text(encoding="utf-8")
        return [line for part in text.split("\nuser ")[1:] if part.startswith("gw2")
                for line in part.splitlines() if "v1.1" in line]  # fmt: skip

    assert acl() == []
    words = ("--renew", "--gateway", "gw2", "--datastream", "gw2=17", "--datastream", "gw2=rain-7")
    assert broker(made, *words) == 0
    assert broker(made, "--renew") == 0
    assert acl() == [
        "topic write v1.1/Datastreams(17)/Observations",
        "topic write v1.1/Datastreams('rain-7')/Observations",
    ]


def test_the_broker_speaks_tls_alone(made) -> None:
    conf = (made / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    assert [line for line in conf if line.startswith("listener")] == ["listener 9883"]
    for line in ("require_certificate true", "use_identity_as_username true",
                 "allow_anonymous false", "persistence true", "tls_version tlsv1.2",
                 "user mosquitto", f"acl_file {made}/mosquitto/acl"):  # fmt: skip
        assert line in conf


def test_renewing_keeps_the_ca_and_makes_all_else_anew(made) -> None:
    before = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    assert broker(made, "--renew", "--days", "100") == 0
    same = {"authority/ca.key", "authority/ca.crt", "broker.json", "mosquitto/mosquitto.conf",
            "mosquitto/acl", "gateways/gw1/mqtt.toml", "gateways/gw2/mqtt.toml"}  # fmt: skip
    for path, content in before.items():
        name = str(path.relative_to(made))
        unchanged = name in same or name.endswith("/ca.crt")
        assert (path.read_bytes() == content) == unchanged, name
    left = ends_at((made / "room" / "room.crt").read_bytes()) - datetime.now(timezone.utc)
    assert timedelta(days=99) < left <= timedelta(days=100)


def test_a_new_gateway_comes_to_the_others_and_leaves_them_alone(made) -> None:
    before = {p: p.read_bytes() for p in made.rglob("*.key")}
    assert broker(made, "--renew", "--gateway", "gw3") == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert (made / "gateways" / "gw3" / "gateway.key").is_file()
    assert read_plan(made).gateways == ("gw1", "gw2", "gw3")
    acl = (made / "mosquitto" / "acl").read_text(encoding="utf-8")
    assert all(f"user {name}\n" in acl for name in ("room", "gw1", "gw2", "gw3"))


def users(made: Path) -> set[str]:
    lines = (made / "mosquitto" / "acl").read_text(encoding="utf-8").splitlines()
    return {line.removeprefix("user ") for line in lines if line.startswith("user ")}


def test_a_gateway_that_is_shut_out_stays_out_whatever_comes_later(made, capsys) -> None:
    assert broker(made, "--renew", "--gateway", "gw2", "--datastream", "gw2=17") == 0
    assert broker(made, "--remove", "gw2") == 0
    assert "HUP" in capsys.readouterr().out
    assert users(made) == {"room", "gw1"}
    assert "v1.1/Datastreams(17)" not in (made / "mosquitto" / "acl").read_text(encoding="utf-8")
    assert broker(made, "--renew") == 0
    assert broker(made, "--renew", "--gateway", "gw3") == 0
    assert main(["enrol", "--broker", str(made), "--token", "gw4"]) == 0
    assert not [name for name in users(made) if "gw2" in name]
    # Its name would let in whoever holds its certificate.
    capsys.readouterr()
    for words in (["broker", "--out", str(made), "--renew", "--gateway", "gw2"],
                  ["enrol", "--broker", str(made), "--token", "gw2"]):  # fmt: skip
        assert main(words) == 1
        assert "another name" in capsys.readouterr().err
    assert not [name for name in users(made) if "gw2" in name]


def test_the_last_gateway_can_be_shut_out_and_a_stranger_not(made, capsys) -> None:
    assert broker(made, "--remove", "gw1", "--remove", "gw2") == 0
    assert users(made) == {"room"}
    assert broker(made, "--renew", "--gateway", "gw3") == 0
    for words, said in ((["gw9"], "there are gw3"), (["gw3", "--renew"], "alone")):
        capsys.readouterr()
        assert broker(made, "--remove", *words) == 1
        assert said in capsys.readouterr().err
    assert users(made) == {"room", "gw3"}


def test_renewing_makes_no_keys_for_who_makes_them_himself(made, capsys) -> None:
    assert main(["enrol", "--broker", str(made), "--token", "gw2"]) == 0
    assert main(["enrol", "--broker", str(made), "--token", "gw7"]) == 0
    before = (made / "gateways/gw2/gateway.key").read_bytes()
    capsys.readouterr()
    assert broker(made, "--renew") == 0
    said = capsys.readouterr().out
    assert "gw7 makes its keys itself" in said
    assert not (made / "gateways/gw7").exists()
    assert (made / "gateways/gw2/gateway.key").read_bytes() == before
    assert broker(made, "--renew", "--gateway", "gw7") == 0  # named: as one wants it
    assert broker(made, "--renew") == 0
    assert (made / "gateways/gw7/gateway.key").exists()
    assert {"gw1", "gw2", "gw7"} <= users(made)


@pytest.mark.parametrize(("words", "said"), [
    ([*HOST, "--gateway", "../gw"], "letters, digits"),
    ([*HOST, "--gateway", ".."], "letters, digits"),
    ([*HOST, "--gateway", "gw/1"], "letters, digits"),
    ([*HOST, "--gateway", "gw\nuser x"], "letters, digits"),
    ([*HOST, "--gateway", "+"], "letters, digits"),
    ([*HOST, "--gateway", "room"], "operations room"),
    ([*HOST, "--gateway", "a", "--gateway", "a"], "twice"),
    (["--gateway", "a"], "at least one --host"),
    (HOST, "at least one --host and one --gateway"),
    (["--host", "a b", "--gateway", "a"], "--host"),
    ([*HOST, "--gateway", "a", "--topic", "talus/#"], "--topic"),
    ([*HOST, "--gateway", "a", "--place", "etc"], "--place"),
    ([*HOST, "--gateway", "a", "--user", "x\ny"], "--user"),
    ([*HOST, "--gateway", "a", "--datastream", "b=1"], "no such --gateway"),
    ([*HOST, "--gateway", "a", "--datastream", "a=1)/#"], "a number, or a short text"),
    ([*HOST, "--gateway", "a", "--datastream", "a"], "a number, or a short text"),
    ([*HOST, "--gateway", "a", "--days", "0"], "--days"),
    ([*HOST, "--gateway", "a", "--port", "0"], "--port"),
    (["--renew"], "no broker was made there"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_and_nothing_written(tmp_path, capsys, words, said) -> None:
    assert broker(tmp_path / "out", *words) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broker_is_not_made_over_another(made, capsys) -> None:
    secret = (made / "authority" / "ca.key").read_bytes()
    assert broker(made, *HOST, "--gateway", "gw1") == 1
    assert "--renew" in capsys.readouterr().err
    assert (made / "authority" / "ca.key").read_bytes() == secret


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"hosts": 1}', '{"hosts":["a"],"gateways":[".."]}']
)
def test_a_plan_that_somebody_edited_is_refused(made, text) -> None:
    (made / "broker.json").write_text(text, encoding="utf-8")
    with pytest.raises(TalusError):
        read_plan(made)


def test_a_key_that_is_not_of_the_ca_signs_nothing() -> None:
    one, other = Authority.make("one"), Authority.make("other")
    with pytest.raises(TalusError, match="does not belong"):
        Authority(Pair(other.pair.key, one.pair.certificate)).client("gw", 1)
    with pytest.raises(TalusError, match="cannot be read"):
        Authority(Pair(b"nothing", one.pair.certificate)).client("gw", 1)
