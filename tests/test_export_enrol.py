"""A token, a request, a certificate: against the reference broker, as a gateway asks for it."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flash_site import csr_of
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import TalusError
from export.__main__ import main
from export.broker.enrol import answer, make_token
from export.local_broker import free_port
from export.provision.firstboot.request import (
    Answer,
    RequestError,
    Ticket,
    answer_bytes,
    broker_word,
    is_token,
    parse_answer,
    parse_request,
    parse_ticket,
    proof_key,
    request_bytes,
    ticket_bytes,
    token_text,
)

NOW = time.time()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("ca") / "broker"
    assert main(["broker", "--out", str(out), "--host", "127.0.0.1", "--gateway", "gw1"]) == 0
    return out


@pytest.fixture
def out(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "broker"))


def ticket_of(out: Path, name: str = "gw1", *, days: int = 14, now_s: float = NOW) -> Ticket:
    make_token(out, name, 0, days, now_s)
    return parse_ticket((out / "enrol" / f"{name}.json").read_bytes())


def test_one_token_is_one_certificate_of_that_gateway(out) -> None:
    ticket = ticket_of(out)
    key = ec.generate_private_key(ec.SECP256R1())
    csr = csr_of(key, "room")  # what it calls itself is nothing
    found = answer(out, "gw1", request_bytes(ticket, csr), 100, NOW)
    cert = x509.load_pem_x509_certificate(found.certificate.encode())
    assert cert.subject.rfc4514_string() == "CN=gw1"
    assert cert.public_key() == key.public_key()
    cert.verify_directly_issued_by(
        x509.load_pem_x509_certificate((out / "authority/ca.crt").read_bytes())
    )
    left = cert.not_valid_after_utc - datetime.now(timezone.utc)
    assert 99 <= left.days <= 100
    again = answer(out, "gw1", request_bytes(ticket, csr_of(key)), 100, NOW)
    assert again.certificate == found.certificate  # the answer was lost: it is the same again
    other = answer(out, "gw1", request_bytes(ticket, csr_of()), 100, NOW)
    assert (other.certificate, "used already" in other.refused) == ("", True)


def test_what_is_refused_and_why(out) -> None:
    ticket, other = ticket_of(out), ticket_of(out, "gw2")
    csr = csr_of()

    def refusal(gateway: str, payload: bytes, now_s: float = NOW) -> str:
        found = answer(out, gateway, payload, 100, now_s)
        assert found.certificate == ""
        return found.refused

    good = request_bytes(ticket, csr)
    assert "expired on" in refusal("gw1", good, NOW + 15 * 86400)
    assert "no token" in refusal("gw3", good)
    assert "made last" in refusal("gw2", good)  # one gateway's token is no other's
    assert "made last" in refusal("gw1", request_bytes(other, csr))
    changed = json.dumps(json.loads(good) | {"csr": csr_of().decode()}).encode()
    assert "made last" in refusal("gw1", changed)  # a request is proven as a whole
    assert "signing request" in refusal("gw1", request_bytes(ticket, b"nothing"))
    weak = csr_of(rsa.generate_private_key(65537, 1024))
    assert "another kind" in refusal("gw1", request_bytes(ticket, weak))
    curve = csr_of(ec.generate_private_key(ec.SECP192R1()))
    assert "another kind" in refusal("gw1", request_bytes(ticket, curve))
    der = x509.load_pem_x509_csr(csr).public_bytes(serialization.Encoding.DER)
    lines = base64.encodebytes(der[:-3] + bytes([der[-3] ^ 1]) + der[-2:]).decode()
    torn = f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"
    assert refusal("gw1", request_bytes(ticket, torn.encode())) != ""
    assert answer(out, "gw1", good, 100, NOW).certificate  # and none of it cost the token


def test_a_new_token_is_the_end_of_the_old_one(out) -> None:
    old, new = ticket_of(out), ticket_of(out)
    csr = csr_of()
    assert "made last" in answer(out, "gw1", request_bytes(old, csr), 100, NOW).refused
    assert answer(out, "gw1", request_bytes(new, csr), 100, NOW).certificate
    passwords = (out / "mosquitto/enrol.passwd").read_text()
    assert passwords.count("enrol/gw1:") == 1


def test_used_and_expired_tokens_are_still_told_of(out, capsys) -> None:
    ticket = ticket_of(out)
    assert answer(out, "gw1", request_bytes(ticket, csr_of()), 100, NOW).certificate
    ticket_of(out, "gw2", days=1, now_s=NOW - 2 * 86400)
    ticket_of(out, "gw3")
    again = ticket_of(out)
    assert main(["enrol", "--broker", str(out), "--list"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["gw1", "used"], ["gw1", "open"], ["gw2", "expired"], ["gw3", "open"],
    ]  # fmt: skip
    lines = (out / "mosquitto/enrol.passwd").read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["enrol/gw1", "enrol/gw3"]
    assert answer(out, "gw1", request_bytes(again, csr_of()), 100, NOW).certificate


def test_a_gateway_that_is_shut_out_has_no_token_either(out) -> None:
    ticket = ticket_of(out)
    assert main(["broker", "--out", str(out), "--remove", "gw1"]) == 0
    assert "no token" in answer(out, "gw1", request_bytes(ticket, csr_of()), 100, NOW).refused
    assert (out / "mosquitto/enrol.passwd").read_text() == ""
    assert not (out / "enrol/gw1.json").exists()


def test_a_token_is_kept_by_nobody_but_the_card(out) -> None:
    ticket = ticket_of(out)
    secrets = [ticket.token, broker_word(ticket.token)]
    for path in out.rglob("*"):
        if path.is_file() and path != out / "enrol/gw1.json":
            assert not any(word in path.read_text() for word in secrets), path
    for name in ("enrol/gw1.json", "enrol/tokens.json", "mosquitto/enrol.passwd"):
        assert (out / name).stat().st_mode & 0o077 == 0
    assert proof_key(ticket.token) not in (out / "mosquitto/enrol.passwd").read_text()


def test_without_tokens_a_broker_is_as_it_was(out) -> None:
    before = {p: p.read_bytes() for p in (out / "mosquitto").iterdir() if p.is_file()}
    ticket_of(out, "gw9")
    assert main(["broker", "--out", str(out), "--renew", "--gateway", "gw1"]) == 0
    conf = (out / "mosquitto/mosquitto.conf").read_text()
    assert conf.startswith(before[out / "mosquitto/mosquitto.conf"].decode())
    assert conf.count("listener ") == 2
    assert "user enrol/gw9" in (out / "mosquitto/acl").read_text()  # renewing keeps it


@pytest.mark.parametrize("name", ["room", "enrol", "../x", "a/b", "+", "#", "a b", ""])
def test_names_that_are_not_a_gateways_get_no_token(out, name) -> None:
    with pytest.raises(TalusError):
        make_token(out, name, 0, 14, NOW)
    assert not (out / "enrol/tokens.json").exists()


def test_the_commands_own_mistakes(out, capsys, tmp_path) -> None:
    for words in (["--list"], ["--serve"]):
        assert main(["enrol", "--broker", str(out), *words]) == 1
        assert "--token NAME" in capsys.readouterr().err
    assert main(["enrol", "--broker", str(tmp_path / "none"), "--token", "gw1"]) == 1
    assert "no broker was made there" in capsys.readouterr().err
    assert main(["enrol", "--broker", str(out), "--token", "gw1", "--port", "8883"]) == 1
    assert "8883" in capsys.readouterr().err
    assert main(["enrol", "--broker", str(out), "--token", "gw1", "--expires-days", "0"]) == 1
    assert main(["enrol", "--broker", str(out), "--token", "gw1"]) == 0
    said = capsys.readouterr().out
    assert "start it again" in said
    assert main(["enrol", "--broker", str(out), "--token", "gw2"]) == 0
    assert "HUP" in capsys.readouterr().out
    assert main(["enrol", "--broker", str(out), "--list"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["gw1", "open"],
        ["gw2", "open"],
    ]
    closed = ["--host", "127.0.0.1", "--port", str(free_port())]
    assert main(["enrol", "--broker", str(out), "--serve", *closed]) == 1
    assert "is the broker running" in capsys.readouterr().err


@given(st.binary(max_size=300))
def test_nothing_that_is_sent_raises(content) -> None:
    for parse in (parse_request, parse_answer, parse_ticket):
        with pytest.raises(RequestError):
            parse(content)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["csr", "proof", "request", "certificate", "refused",
                                        "gateway", "host", "port", "topic", "expires_s",
                                        "token"]), values))  # fmt: skip
def test_nothing_of_the_right_shape_raises_either(fields) -> None:
    content = json.dumps({"format": 1} | fields).encode()
    for parse in (parse_request, parse_answer, parse_ticket):
        with contextlib.suppress(RequestError):
            parse(content)


@given(st.binary(min_size=32, max_size=32), st.text(max_size=50), st.text(min_size=1, max_size=50))
def test_what_is_written_is_read(secret, request, text) -> None:
    token = token_text(secret)
    assert is_token(token)
    ticket = Ticket("gw1", "host", 8884, "talus", 2**40, token)
    assert parse_ticket(ticket_bytes(ticket)) == ticket
    for said in (Answer(request, text, ""), Answer(request, "", text)):
        assert parse_answer(answer_bytes(said)) == said
    csr = text.encode("ascii", "ignore") or b"x"
    assert parse_request(request_bytes(ticket, csr))[0] == csr
