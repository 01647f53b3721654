"""Our own decoding of GNSS messages beside pyubx2 and pynmeagps, on the same bytes."""

from __future__ import annotations

import io
from datetime import datetime
from random import Random

import pytest
from gnss_rows import ORIGIN, T0_MS, epoch, row_at

from firmware_bridge.gnss_stream import GnssStream
from firmware_bridge.nmea import Gga, Sentence, cut_sentence, decode_sentence, encode_sentence
from firmware_bridge.sim_gnss import RoverRow, SimulatedRover
from firmware_bridge.ubx import (
    CFG_VALSET,
    NAV_PVT,
    HighPrecisionPosition,
    Pvt,
    RelativePosition,
    UbxMessage,
    UtcTime,
    configuration,
    cut_message,
    decode_message,
    encode_message,
)

WHY = "NOT TESTED: pip install 'talus-edge[gnss]' to compare with {}"
pyubx2 = pytest.importorskip("pyubx2", reason=WHY.format("pyubx2"))
pynmeagps = pytest.importorskip("pynmeagps", reason=WHY.format("pynmeagps"))

RMC = "GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A,V"


def messages(row: RoverRow) -> dict[tuple[int, int], UbxMessage]:
    found = [cut_message(data, 0) for data in SimulatedRover(ORIGIN).epoch(row)[:5]]
    return {item.kind: item for item in found if isinstance(item, UbxMessage)}


def decoded(body: str) -> object:
    sentence = cut_sentence(encode_sentence(body), 0)
    assert isinstance(sentence, Sentence)
    return decode_sentence(sentence)


def test_the_same_messages_are_found_in_one_stream() -> None:
    data = b"".join(epoch(row_at(i)) for i in range(20))
    ours = GnssStream().receive(data)
    reader = pyubx2.UBXReader(io.BytesIO(data), protfilter=3, quitonerror=0)
    theirs = [raw for raw, _ in reader]
    wire = [
        encode_message(item.kind, item.payload) if isinstance(item, UbxMessage) else item.type
        for item in ours
    ]
    named = [raw if raw[:1] == b"\xb5" else raw[3:6].decode() for raw in theirs]
    assert wire == named
    assert len(wire) == 20 * 9


def test_what_pyubx2_encodes_we_decode() -> None:
    random = Random(11)
    for _ in range(200):
        sent = {
            "iTOW": random.randrange(604_800_000),
            "year": 2026,
            "month": random.randint(1, 12),
            "day": random.randint(1, 28),
            "hour": random.randrange(24),
            "min": random.randrange(60),
            "second": random.randrange(60),
            "nano": random.randint(-(10**9), 10**9),
            "validDate": 1,
            "validTime": 1,
            "fullyResolved": 1,
            "fixType": 3,
            "gnssFixOk": 1,
            "diffSoln": 1,
            "carrSoln": random.randrange(3),
            "numSV": random.randrange(40),
            "lat": random.uniform(-90, 90),
            "lon": random.uniform(-180, 180),
            "height": random.randint(-(10**6), 10**7),
            "hAcc": random.randrange(10**5),
        }
        raw = pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, **sent).serialize()
        item = cut_message(raw, 0)
        assert isinstance(item, UbxMessage)
        assert item.kind == NAV_PVT
        value = decode_message(item)
        assert isinstance(value, Pvt)
        assert value.latitude_deg == pytest.approx(sent["lat"], abs=1.1e-7)
        assert value.longitude_deg == pytest.approx(sent["lon"], abs=1.1e-7)
        assert value.height_m == sent["height"] / 1000
        assert value.accuracy_mm == sent["hAcc"]
        assert value.quality == {2: 4, 1: 5, 0: 2}[sent["carrSoln"]]
        moment = [sent[key] for key in ("year", "month", "day", "hour", "min", "second")]
        since = datetime(*moment) - datetime(1970, 1, 1)
        assert value.utc_ms == since.total_seconds() * 1000 + round(sent["nano"] / 1e6)


def test_pyubx2_agrees() -> None:
    random = Random(5)
    for _ in range(300):
        row = RoverRow(
            T0_MS + random.randrange(10**10),
            *(random.uniform(-1e6, 1e6) for _ in range(3)),
            random.choice((0, 1, 2, 4, 5)),
            random.uniform(1, 500),
        )
        for kind, message in messages(row).items():
            if kind == (1, 0x35):
                continue
            theirs = pyubx2.UBXReader.parse(encode_message(kind, message.payload))
            _agree(decode_message(message), theirs)


def _agree(ours: object, theirs) -> None:
    carrier = {2: 4, 1: 5}
    assert ours.tow_ms == theirs.iTOW
    if isinstance(ours, Pvt):
        assert ours.latitude_deg == pytest.approx(theirs.lat, abs=1e-10)
        assert ours.longitude_deg == pytest.approx(theirs.lon, abs=1e-10)
        assert ours.height_m == pytest.approx(theirs.height / 1000, abs=1e-9)
        assert ours.satellites == theirs.numSV
        when = datetime(theirs.year, theirs.month, theirs.day, theirs.hour, theirs.min)
        since = (when - datetime(1970, 1, 1)).total_seconds() + theirs.second
        assert ours.utc_ms == round(since * 1000 + theirs.nano / 1e6)
        assert ours.accuracy_mm == max(theirs.hAcc, theirs.vAcc)
        if theirs.gnssFixOk:
            assert ours.quality == carrier.get(theirs.carrSoln, 2 if theirs.diffSoln else 1)
        else:
            assert ours.quality == 0
    elif isinstance(ours, HighPrecisionPosition):  # theirs has the parts added
        assert ours.latitude_deg == pytest.approx(theirs.lat, abs=2e-10)
        assert ours.longitude_deg == pytest.approx(theirs.lon, abs=2e-10)
        assert ours.height_m * 1000 == pytest.approx(theirs.height, abs=0.01)
        assert ours.accuracy_mm == pytest.approx(max(theirs.hAcc, theirs.vAcc))
        assert ours.valid == (not theirs.invalidLlh)
    elif isinstance(ours, RelativePosition):
        assert ours.north_mm == pytest.approx(theirs.relPosN * 10, abs=0.01)
        assert ours.east_mm == pytest.approx(theirs.relPosE * 10, abs=0.01)
        assert ours.down_mm == pytest.approx(theirs.relPosD * 10, abs=0.01)
        assert ours.accuracy_mm == pytest.approx(max(theirs.accN, theirs.accE, theirs.accD))
        valid = theirs.gnssFixOK and theirs.relPosValid
        assert ours.quality == (
            carrier.get(theirs.carrSoln, 2 if theirs.diffSoln else 1) if valid else 0
        )
    else:
        assert isinstance(ours, UtcTime)
        assert (theirs.validTOW, theirs.validWKN, theirs.validUTC) == (1, 1, 1)
        assert ours.utc_ms is not None
        seconds = ours.utc_ms // 1000
        assert (theirs.hour * 60 + theirs.min) * 60 + theirs.sec == seconds % 86400


def test_pyubx2_knows_the_configuration_keys() -> None:
    for source, word in (
        ("relposned", "NAV_RELPOSNED"),
        ("hpposllh", "NAV_HPPOSLLH"),
        ("pvt", "NAV_PVT"),
        ("gga", "NMEA_ID_GGA"),
    ):
        theirs = pyubx2.UBXReader.parse(configuration(source), msgmode=pyubx2.SET)
        text = str(theirs)
        assert theirs.identity == "CFG-VALSET"
        assert (theirs.version, theirs.ram, theirs.bbr, theirs.flash) == (0, 1, 0, 0)
        for port in ("UART1", "USB"):
            assert f"{word}_{port}=1" in text
    item = cut_message(configuration("gga"), 0)
    assert isinstance(item, UbxMessage)
    assert item.kind == CFG_VALSET


def test_pynmeagps_agrees() -> None:
    for i in range(200):
        minutes = i * 0.2999999
        time = f"{i % 24:02d}{i % 60:02d}{(7 * i) % 60:02d}.{i % 100:02d}"
        side_n, side_e = "NS"[i % 2], "EW"[i // 2 % 2]
        body = (
            f"GNGGA,{time},{i % 90:02d}{minutes:010.7f},{side_n},{i % 180:03d}{minutes:010.7f},"
            f"{side_e},{(4, 5, 1, 2)[i % 4]},{i % 13:02d},0.6,{i * 7.1234:.4f},M,{47.5 - i},M,1.0,0"
        )
        theirs = pynmeagps.NMEAReader.parse(encode_sentence(body), validate=1)
        ours = decoded(body)
        assert isinstance(ours, Gga)
        assert ours.latitude_deg == pytest.approx(theirs.lat, abs=1e-10)
        assert ours.longitude_deg == pytest.approx(theirs.lon, abs=1e-10)
        assert ours.height_m == pytest.approx(theirs.alt + theirs.sep, abs=1e-9)
        assert (ours.quality, ours.satellites) == (theirs.quality, theirs.numSV)
        at = theirs.time
        seconds = (at.hour * 60 + at.minute) * 60 + at.second
        assert ours.day_ms == seconds * 1000 + at.microsecond // 1000
    rmc = pynmeagps.NMEAReader.parse(encode_sentence(RMC))
    assert (rmc.date.isoformat(), rmc.time.isoformat()) == ("2002-12-09", "08:35:59")
    gst = pynmeagps.NMEAReader.parse(encode_sentence("GNGST,000001.00,0.02,,,,0.008,0.009,0.014"))
    assert (gst.stdLat, gst.stdLong, gst.stdAlt) == (0.008, 0.009, 0.014)
