"""Strict reading of tables: no garbage in a document leads to anything but a ConfigError."""

from __future__ import annotations

import contextlib
import json
import math
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Config, load_config
from edge.errors import ConfigError
from edge.fields import MAX_LIST, MAX_TEXT, Mistakes, Table
from edge.parse_channels import parse_channel
from edge.parse_ports import parse_port

GOOD = """
[gateway]
name = "bluff"
telemetry_every_s = 2.5
outbox_max_mb = 64
[mqtt]
port = 8883
[runtime]
prefer = ["litert"]
[[port]]
name = "logger"
device = "/dev/ttyUSB0"
baud = 9600
protocol = "lines"
max_skew_s = 60
[port.lines]
column_count = 3
time_column = 0
time_format = "iso"
utc_offset_minutes = 60
delimiter = ","
missing = ["NAN"]
columns = { head = 1, temp = 2 }
[[station]]
name = "slope"
bundle = "b"
step_s = 900
[station.alarm]
set_points = [1, 2, 3, 4]
max_level = { residual = 3 }
[[station.channel]]
name = "head"
port = "logger"
unit = "m"
low = -1.0
calibration = [
  { kind = "polynomial", coefficients = [1.0, 2.0], input_scale = 0.1 },
  { kind = "temperature_term", channel = "temp", reference_c = 20, gain = 0.7 },
  { kind = "linear", gain = 0.102, offset = -1.1 },
]
[[station.channel]]
name = "temp"
port = "logger"
unit = "degC"
calibration = [{ kind = "steinhart_hart", a = 1e-3, b = 2e-4, c = 1e-7 }]
"""


def load(text: str) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.toml"
        path.write_text(text)
        return load_config(path)


def noted(found: Mistakes) -> tuple[str, ...]:
    try:
        found.raise_if_any()
    except ConfigError as error:
        return error.mistakes
    return ()


def table(**data: Any) -> tuple[Table, Mistakes]:
    found = Mistakes("test")
    return Table(data, "here", found), found


@pytest.mark.parametrize(
    ("ask", "value", "words"),
    [
        ("text", 1, "must be a text"),
        ("text", "x" * (MAX_TEXT + 1), f"at most {MAX_TEXT}"),
        ("number", True, "must be a number, is true/false"),
        ("number", math.nan, "nan is outside"),
        ("number", -math.inf, "-inf is outside"),
        ("number", 10**400, "outside"),
        ("integer", 1.0, "must be a whole number, is 1.0"),
        ("integer", -1, "-1 is outside 0"),
        ("flag", 1, "must be true or false, is 1"),
        ("numbers", [1, "x"], "must be a list of numbers"),
        ("numbers", [math.nan], "not finite"),
        ("numbers", 3, f"must be a list of at most {MAX_LIST}"),
        ("texts", ["x", 1], "must be a list of texts"),
        ("texts", ["x"] * (MAX_LIST + 1), f"at most {MAX_LIST}"),
        ("table", [], "must be a table, is a list"),
        ("tables", {}, "write [[here.key]] in place of [here.key]"),
        ("tables", 3, "must be a list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_noted(ask: str, value: Any, words: str) -> None:
    here, found = table(key=value)
    getattr(here, ask)("key")
    (mistake,) = noted(found)
    assert mistake.startswith("here.key: ")
    assert words in mistake


@pytest.mark.parametrize("ask", ["text", "number", "integer", "flag", "numbers", "texts"])
def test_a_missing_key_without_a_default_is_noted(ask: str) -> None:
    here, found = table()
    getattr(here, ask)("key")
    assert noted(found) == ("here.key: missing, and there is no default",)


def test_values_of_the_right_kind_come_back_and_nothing_is_noted() -> None:
    here, found = table(a="x", b=2, c=3, d=False, e=[1, 2.5], f=["y"], g={"h": 1}, i=[{"j": 2}])
    got = (here.text("a"), here.number("b"), here.integer("c"), here.flag("d", default=True))
    assert got == ("x", 2.0, 3, False)
    assert (here.numbers("e", length=2), here.texts("f")) == ((1.0, 2.5), ("y",))
    assert here.table("g", required=True).integer("h") == 1
    assert [inner.integer("j") for inner in here.tables("i", at_least=1)] == [2]
    here.done()
    assert noted(found) == ()


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10))
def test_a_number_is_inside_its_limits_or_noted(value: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    here, found = table(key=value)
    got = here.number("key", low=low, high=high)
    assert low <= got <= high
    assert bool(noted(found)) == (not low <= value <= high)


SCALAR = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec="ascii"), max_size=8),
    st.sampled_from([2**70, 10**400, "lines", "node", "linear", "%Y %Y", "mm", "iso", ""]),
)  # fmt: skip
KEYS = st.sampled_from(sorted(set(re.findall(r"(\w+) =", GOOD)) | {"lines", "channel", "alarm"}))
GARBAGE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


def toml(value: Any) -> str:
    """Write a JSON-like value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value).replace("\x7f", "\\u007f")


def paths(value: Any) -> list[tuple[Any, ...]]:
    """Give the path of every value inside."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [
        (k, p) for k, v in pairs for p in [(), *(paths(v) if isinstance(v, (dict, list)) else [])]
    ]
    return [(k, *p) for k, p in inner]


PLACES = paths(tomllib.loads(GOOD))


@given(st.sampled_from(PLACES), GARBAGE)
def test_garbage_anywhere_is_a_config_error_or_loads(place: tuple[Any, ...], junk: Any) -> None:
    data = tomllib.loads(GOOD)
    inner: Any = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    with contextlib.suppress(ConfigError):
        text = "\n".join(f"{key} = {toml(value)}" for key, value in data.items())
        assert isinstance(load(text), Config)


@pytest.mark.parametrize("parse", [parse_port, parse_channel])
@given(junk=GARBAGE)
def test_garbage_for_a_table_is_noted_and_never_raises(parse: Any, junk: Any) -> None:
    found = Mistakes("test")
    parse(Table(junk, "here[0]", found))
    assert noted(found)  # garbage never has all that a port or a channel needs
    assert all(mistake.startswith("here[0]") for mistake in noted(found))
