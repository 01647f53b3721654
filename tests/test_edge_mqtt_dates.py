"""The dates of certificates: as the library that made them reads them, and nothing from garbage."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.mqtt_dates import date_text, validity, validity_of_pem
from edge.mqtt_tls import out_of_date
from export.broker.authority import Authority

CA = Authority.make("a CA")
PEM = CA.client("gw", 30).certificate
DER = ssl.PEM_cert_to_DER_cert(PEM.decode())


@settings(max_examples=25, deadline=None)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2045, 1, 1), timezones=st.just(timezone.utc)),
    st.integers(1, 3000),
)
def test_dates_are_read_as_they_were_written(begins, days) -> None:
    begins = begins.replace(microsecond=0)
    found = validity_of_pem(Authority.make("x", begins).client("gw", days, begins).certificate)
    assert found is not None
    assert found.begins_s == (begins - timedelta(days=1)).timestamp()
    assert found.ends_s == (begins + timedelta(days=days)).timestamp()


def test_dates_beyond_2050_have_another_form_in_der() -> None:
    begins = datetime(2049, 6, 1, tzinfo=timezone.utc)
    found = validity_of_pem(Authority.make("x", begins).client("gw", 900, begins).certificate)
    assert found is not None
    assert date_text(found.ends_s) == "2051-11-18 00:00 UTC"


@given(st.binary(max_size=300))
def test_garbage_gives_nothing_and_raises_nothing(data) -> None:
    assert validity(data) is None
    assert validity_of_pem(data) is None
    assert validity_of_pem(b"-----BEGIN CERTIFICATE-----" + data + b"-----END") is None


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_one_byte_of_damage_raises_nothing(at, byte) -> None:
    validity(DER[:at] + bytes([byte]) + DER[at + 1 :])
    validity(DER[:at])


@pytest.mark.parametrize(("now", "words"), [
    ("2026-01-01", ""),
    ("2025-01-01", "it is not valid before 2025-12-31"),
    ("2026-03-01", "it expired on 2026-01-31"),
])  # fmt: skip
def test_what_does_not_hold_now_is_said_with_its_date(now, words) -> None:
    begins = datetime(2026, 1, 1, tzinfo=timezone.utc)
    pem = Authority.make("x", begins).client("gw", 30, begins).certificate
    now_s = datetime.fromisoformat(now + "T00:00:00+00:00").timestamp()
    said = out_of_date(validity_of_pem(pem), "it", now_s)
    assert said.startswith(words)
    assert bool(said) == bool(words)
    assert out_of_date(None, "it", now_s) == ""
