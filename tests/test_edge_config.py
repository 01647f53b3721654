"""gateway.toml: what loads, and what a person is told of every mistake."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest

from edge.calibration import BarometerTerm, Linear, Polynomial, SteinhartHart, ThermalPolynomial
from edge.config import MAX_CONFIG_BYTES, Config, RuntimeConfig, load_config
from edge.errors import ConfigError
from edge.quality import TimeRules
from firmware_bridge.line_format import LineFormat

GOOD = """
[gateway]
name = "bluff"
telemetry_every_s = 2.5
outbox_max_mb = 64
[mqtt]
host = "broker.example"
port = 8883
ca_file = "ca.pem"
cert_file = "gw.pem"
key_file = "gw.key"
[runtime]
prefer = ["onnxruntime"]
precision = "int8"
kernels = "plain"
[[port]]
name = "logger"
device = "/dev/ttyUSB0"
baud = 9600
protocol = "lines"
max_skew_s = 60
lateness_s = 1.5
[port.lines]
column_count = 6
time_column = 0
time_format = "%Y-%m-%d %H:%M:%S"
delimiter = ";"
columns = { digits = 2, ohm = 3, air = 4, tips = 5 }
[[port]]
name = "node"
device = "/dev/ttyACM0"
protocol = "tw1"
clock = "node"
[[station]]
name = "hilltop"
bundle = ""
[[station.channel]]
name = "air"
port = "logger"
unit = "kPa"
quantity = "barometric_pressure"
[[station]]
name = "slope"
bundle = "bundles/slope"
step_s = 900
readings_per_step = 3
[station.alarm]
set_points = [0.5, 1, 2, 3]
on_delay_s = 1.5
max_level = { residual = 3 }
[[station.channel]]
name = "head"
column = "digits"
port = "logger"
unit = "m"
quantity = "pore_pressure"
low = -1.0
high = 10
calibration = [
  { kind = "thermal_polynomial", channel = "temp", coefficients = [1, 2, 3, 4, 5, 6], gain = 0.7 },
  { kind = "barometer_term", channel = "hilltop/air" },
  { kind = "linear", gain = 0.102, offset = -1.1 },
]
[[station.channel]]
name = "temp"
column = "ohm"
port = "logger"
unit = "degC"
calibration = [{ kind = "steinhart_hart", a = 1.4e-3, b = 2.4e-4, c = 1e-7 }]
[[station.channel]]
name = "rain"
column = "tips"
port = "logger"
unit = "mm"
quantity = "rainfall"
calibration = [{ kind = "polynomial", coefficients = [0.0, 0.254] }]
[[station.channel]]
name = "tilt"
port = "node"
unit = "mrad"
"""


def load(text: str | bytes, *, site: bool = False) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path, site=site)


def mistakes(text: str | bytes, *, site: bool = False) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, site=site)
    assert all(mistake in str(caught.value) for mistake in caught.value.mistakes)
    return caught.value.mistakes


def test_a_full_configuration_loads_into_the_values_written() -> None:
    config = load(GOOD)
    assert (config.name, config.telemetry_every_ms, config.health_every_ms) == (
        "bluff",
        2500,
        60000,
    )
    assert config.outbox_max_bytes == 64 * 1024 * 1024
    assert config.data_dir == config.folder / "talus-data"
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.key_file) == (
        "broker.example", 8883, "gw.key",
    )  # fmt: skip
    assert config.runtime == RuntimeConfig(("onnxruntime",), "int8", "plain")


def test_ports_load_with_their_line_format_and_time_rules() -> None:
    logger, node = load(GOOD).ports
    assert (logger.name, logger.device, logger.baud) == ("logger", "/dev/ttyUSB0", 9600)
    assert logger.lines == LineFormat(
        delimiter=";",
        columns=(("digits", 2), ("ohm", 3), ("air", 4), ("tips", 5)),
        column_count=6,
        time_column=0,
        time_format="%Y-%m-%d %H:%M:%S",
    )
    assert logger.time == TimeRules(60_000, 30 * 86_400_000, 1500)
    assert (node.lines, node.clock, node.baud, node.time.max_skew_ms) == (None, "node", 115200, 0)


def test_a_port_whose_times_are_those_of_arrival_has_no_skew() -> None:
    untimed = load(GOOD.replace("time_column = 0\n", "")).ports[0]
    assert untimed.time.max_skew_ms == 0


def test_stations_load_with_their_channels_and_alarm_rules() -> None:
    station = load(GOOD).station("slope")
    assert (station.step_ms, station.readings_per_step) == (900_000, 3)
    assert [c.name for c in station.channels] == ["head", "temp", "rain", "tilt"]
    assert [c.aggregate for c in station.channels] == ["mean", "mean", "sum", "mean"]
    head, temp, rain, tilt = station.plans
    assert head.stages == (
        ThermalPolynomial("temp", (1, 2, 3, 4, 5, 6), 0.7),
        BarometerTerm("hilltop/air", 101.3, 1.0),
        Linear(0.102, -1.1),
    )
    assert (head.column, head.low, head.high) == ("digits", -1.0, 10.0)
    assert temp.stages == (SteinhartHart(1.4e-3, 2.4e-4, 1e-7),)
    assert rain.stages == (Polynomial((0.0, 0.254)),)
    assert (tilt.column, tilt.stages) == ("tilt", ())
    assert math.isnan(tilt.low)
    assert math.isnan(tilt.high)
    alarm = station.alarm
    assert alarm.set_points == (0.5, 1.0, 2.0, 3.0)
    assert (alarm.on_delay_ms, alarm.off_delay_ms, alarm.deadband) == (1500, 86_400_000, 0.2)
    assert dict(alarm.ceiling)["residual"] == 3


def test_an_unknown_station_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="'slop' is not configured; known: hilltop, slope"):
        load(GOOD).station("slop")


# (what stands in GOOD, what to write instead, the path named, words of the explanation)
WRONG = [
    ('unit = "mrad"', 'unti = "mrad"', "station[1].channel[3].unti", "did you mean 'unit'"),
    ('unit = "mrad"', 'unti = "mrad"', "station[1].channel[3].unit", "missing"),
    ('unit = "kPa"', 'unit = "psi"', "station[0].channel[0].unit", "'psi' is not one of mm"),
    ("telemetry_every_s", "telemetry_evry_s", "gateway.telemetry_evry_s", "'telemetry_every_s'"),
    ("[runtime]", "[runtme]", "runtme", "did you mean 'runtime'"),
    ("on_delay_s", "zzz", "station[1].alarm.zzz", "unknown key; known: deadband"),
    ("residual = 3", "residual = 5", "station[1].alarm.max_level.residual", "outside 0 .. 4"),
    ("residual = 3", "lstm = 3", "station[1].alarm.max_level.lstm", "unknown key"),
    ("[0.5, 1, 2, 3]", "[0.5, 1, 2]", "station[1].alarm.set_points", "must hold 4 numbers"),
    ("[0.5, 1, 2, 3]", "[0.5, 1, 1, 3]", "station[1].alarm.set_points", "four rising values"),
    ("[0.5, 1, 2, 3]", "[0.5, 1, 2, inf]", "station[1].alarm.set_points", "not finite"),
    ("on_delay_s = 1.5", "on_delay_s = nan", "station[1].alarm.on_delay_s", "nan is outside"),
    ("on_delay_s = 1.5", "on_delay_s = inf", "station[1].alarm.on_delay_s", "inf is outside"),
    ('channel = "temp"', 'channel = "tmp"', "station[1].channel[0].calibration", "'tmp', no such"),
    ("hilltop/air", "valley/air", "station[1].channel[0].calibration", "'valley/air', no such"),
    ("[1, 2, 3, 4, 5, 6]", "[1]", "station[1].channel[0].calibration[0].coefficients", "hold 6"),
    ("[0.0, 0.254]", "[]", "station[1].channel[2].calibration[0].coefficients", "at least one"),
    ("[0.0, 0.254]", '["x"]', "station[1].channel[2].calibration[0].coefficients", "of numbers"),
    ('"polynomial"', '"cubic"', "station[1].channel[2].calibration[0].kind", "not one of linear"),
    ("high = 10", "high = -1", "station[1].channel[0].high", "must be above low"),
    ("high = 10", 'high = "10"', "station[1].channel[0].high", "must be a number, is a text"),
    ('name = "tilt"', 'name = "temp"', "station[1].channel[3].name", "'temp' is there twice"),
    ('name = "tilt"', 'name = "a/b"', "station[1].channel[3].name", "without '/'"),
    ('name = "slope"', 'name = "hilltop"', "station", "names must differ"),
    ('name = "slope"', 'name = "a b"', "station[1].name", "'a b': letters, digits"),
    ('name = "node"', 'name = "logger"', "port", "names must differ"),
    ('name = "node"', 'name = "a/b"', "port[1].name", "without blanks"),
    ('port = "node"', 'port = "nod"', "station[1].channel[3].port", "no port; known: logger, node"),
    ('column = "ohm"', 'column = "om"', "station[1].channel[1].column", "known: digits, ohm, air"),
    ("baud = 9600", 'baud = "9600"', "port[0].baud", "must be a whole number, is a text"),
    ("baud = 9600", "baud = true", "port[0].baud", "must be a whole number, is true/false"),
    ("baud = 9600", "baud = 0x" + "f" * 5000, "port[0].baud", "more than 63 bits is outside"),
    ("max_skew_s = 60", "max_skew_s = 1" + "0" * 400, "port[0].max_skew_s", "more than 63 bits"),
    ("[0.0, 0.254]", "[1" + "0" * 400 + "]", "station[1].channel[2].calibration[0].coefficients",
     "not finite"),
    ("port = 8883", "port = 0", "mqtt.port", "0 is outside 1 .. 65535"),
    ('host = "broker.example"', "host = 7", "mqtt.host", "must be a text"),
    ('host = "broker.example"', 'topic = "a/#"', "mqtt.topic", "plain topic prefix"),
    ('key_file = "gw.key"', "", "mqtt.key_file", "go together"),
    ('ca_file = "ca.pem"', "", "mqtt.ca_file", "needs ca_file too"),
    ('["onnxruntime"]', '["torch"]', "runtime.prefer", "'torch' is not one of litert"),
    ('["onnxruntime"]', "[1]", "runtime.prefer", "must be a list of texts"),
    ('precision = "int8"', 'precision = "int4"', "runtime.precision", "'int4' is not one of"),
    ('kernels = "plain"', 'kernels = "neon"', "runtime.kernels", "'neon' is not one of"),
    ('protocol = "tw1"', 'protocol = "profibus"', "port[1].protocol", "not one of tw1, lines"),
    ('protocol = "tw1"', 'protocol = "lines"', "port[1].lines", "missing"),
    ('clock = "node"', "lines = {}", "port[1].lines", "only for protocol = 'lines'"),
    ('delimiter = ";"', 'delimiter = "::"', "port[0].lines", "delimiter '::'"),
    ('"%Y-%m-%d %H:%M:%S"', '"%H:%M"', "port[0].lines", "time_format '%H:%M': lacks a part"),
    ('"%Y-%m-%d %H:%M:%S"', '"%Y %Y"', "port[0].lines", "redefinition"),
    ("column_count = 6", "column_count = 5", "port[0].lines", "column 5 not in 0..4"),
    ("column_count = 6", "", "port[0].lines.column_count", "missing"),
    ("time_column = 0", "time_column = 2", "port[0].lines", "column 2 is already digits"),
    ("digits = 2", "digits = -2", "port[0].lines.columns.digits", "-2 is outside 0 .. 4095"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "words"), WRONG)
def test_a_mistake_is_named_with_its_path(old: str, new: str, path: str, words: str) -> None:
    assert GOOD.count(old) == 1
    found = mistakes(GOOD.replace(old, new))
    assert any(m.startswith(f"{path}: ") and words in m for m in found), found


def test_all_mistakes_are_told_at_once() -> None:
    cases = [case for case in WRONG if case[0] in {"port = 8883", 'unit = "kPa"', "high = 10"}]
    text = GOOD
    for old, new, _, _ in cases:
        text = text.replace(old, new, 1)
    told = "\n".join(mistakes(text))
    for path in ("mqtt.port: ", "station[0].channel[0].unit: ", "station[1].channel[0].high: "):
        assert path in told


@pytest.mark.parametrize("key", ["port", "station"])
def test_an_empty_file_is_told_what_is_needed(key: str) -> None:
    assert f"{key}: at least 1 needed" in mistakes("")


def test_a_site_needs_a_step_and_no_bundle() -> None:
    site = GOOD.replace('bundle = ""\n', "step_s = 60\n").replace('bundle = "bundles/slope"\n', "")
    assert [s.step_ms for s in load(site, site=True).stations] == [60_000, 900_000]
    assert mistakes(site) == (
        "station[0].bundle: missing, and there is no default",
        "station[1].bundle: missing, and there is no default",
    )
    assert any(m.startswith("station[0].step_s: needed") for m in mistakes(GOOD, site=True))


def test_the_table_of_the_training_is_let_pass() -> None:
    assert load(GOOD + "[train]\nepochs = 3\n").stations == load(GOOD).stations


@pytest.mark.parametrize(
    "text",
    [
        "[gateway", "a = 1\na = 2", b"\xff\xfe", b"name = '\xe4'", "a = 1" + "0" * 5000,
        "a = " + "[" * 20_000,
    ],
)  # fmt: skip
def test_what_is_not_toml_is_told_so(text: str | bytes) -> None:
    (found,) = mistakes(text)
    assert found.startswith("file: not TOML: ")


def test_a_file_that_is_not_there_or_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="file: cannot be read") as caught:
            load_config(path)
        assert caught.value.document == str(path)


def test_a_huge_file_is_refused_and_the_largest_is_read() -> None:
    assert load(GOOD.ljust(MAX_CONFIG_BYTES)).name == "bluff"
    found = mistakes(GOOD.ljust(MAX_CONFIG_BYTES + 1))
    assert found == (f"file: larger than {MAX_CONFIG_BYTES} bytes",)
