"""``talus doctor`` on calibration: constants that no instrument has, values that nothing has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Config, load_config
from edge.doctor_late import late, late_rows
from edge.doctor_values import last_values, values

HEAD = """
[gateway]
name = "bluff"
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[port]]
name = "mast"
device = "/dev/zero"
protocol = "tw1"
[[station]]
name = "slope"
bundle = ""
[[station.channel]]
name = "temp"
port = "node"
quantity = "temperature"
unit = "degC"
TEMP
[[station.channel]]
name = "pore"
port = "node"
quantity = "pore_pressure"
unit = "kPa"
PORE
[[station.channel]]
name = "air"
port = "mast"
quantity = "barometric_pressure"
unit = "UNIT"
"""


def config(folder: Path, temp: str = "", pore: str = "", unit: str = "kPa") -> Config:
    path = folder / "gateway.toml"
    path.write_text(HEAD.replace("TEMP", temp).replace("PORE", pore).replace("UNIT", unit))
    return load_config(path)


def rows(**last: list[float | None]) -> dict[str, Any]:
    """A station's saved state: the last row of each port."""
    return {"quality": {"rows": {port: [7, 1.0, 5, [], row] for port, row in last.items()}}}


def said(made: Config, state: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(d.subject, d.state, d.text) for d in values(made, {"slope": state})]


def stage(kind: str, rest: str) -> str:
    return f'calibration = [{{ kind = "{kind}", {rest} }}]'


# A common 3 kohm thermistor, as Geokon prints it.
GEOKON = "a = 1.4051e-3, b = 2.369e-4, c = 1.019e-7"


@pytest.mark.parametrize(
    ("temp", "pore", "unit", "text"),
    [
        (stage("steinhart_hart", GEOKON), "", "kPa", ""),
        (stage("steinhart_hart", "a = 1.4051, b = 0.2369, c = 1.019e-4"), "", "kPa", "resistance"),
        ("", stage("linear", "gain = 0.0"), "kPa", "gain = 0 makes"),
        ("", stage("linear", "gain = 0.35"), "kPa", ""),
        ("", stage("polynomial", "coefficients = [3.0]"), "kPa", "polynomial makes"),
        ("", stage("polynomial", "coefficients = [3.0, 1.0], input_scale = 0.0"), "kPa", "scale"),
        ("", stage("barometer_term", 'channel = "air"'), "kPa", ""),
        ("", stage("barometer_term", 'channel = "air", reference_kpa = 1013'), "kPa", "hPa?"),
        ("", stage("barometer_term", 'channel = "air"'), "m", "and that is in m"),
        ("", stage("temperature_term", 'channel = "temp", reference_c = 9, gain = 1.0'), "kPa", ""),
        ("", stage("temperature_term", 'channel = "temp", reference_c = 293, gain = 0.1'), "kPa",
         "reference_c = 293"),
        ("", stage("temperature_term", 'channel = "air", reference_c = 20, gain = 0.1'), "kPa",
         "takes 'air' for degC"),
        ("low = 200\nhigh = 400", "", "kPa", "low..high is 200..400 degC"),
    ],
)  # fmt: skip
def test_constants(tmp_path, temp, pore, unit, text) -> None:
    found = said(config(tmp_path, temp, pore, unit), {})
    if not text:
        assert [(subject, state) for subject, state, _ in found] == [("slope", "ok")]
        assert "no values are known yet" in found[0][2]
        return
    ((subject, state, why),) = found
    assert subject.startswith("slope/")
    assert state == "fault"
    assert text in why


def test_last_values_are_taken_from_the_port_of_each_channel(tmp_path) -> None:
    made = config(tmp_path)
    state = rows(node=[12.5, 30.0, 99.0], mast=[1e9, 1e9, 101.3])
    assert last_values(made.stations[0], state) == {"temp": 12.5, "pore": 30.0, "air": 101.3}
    ((subject, ok, text),) = said(made, state)
    assert (subject, ok) == ("slope", "ok")
    assert "temp 12.5 degC, pore 30 kPa, air 101.3 kPa" in text


def test_values_that_nothing_on_earth_has_and_values_that_lack(tmp_path) -> None:
    made = config(tmp_path)
    found = said(made, rows(node=[-127.0, None, None], mast=[None, None, 1013.0]))
    assert [(subject, state) for subject, state, _ in found] == [
        ("slope/temp", "fault"), ("slope/pore", "warn"), ("slope/air", "fault"),
    ]  # fmt: skip
    assert "reads -127 degC, and no temperature is that" in found[0][2]
    assert "1013 kPa" in found[2][2]


def test_a_state_of_another_configuration_says_nothing(tmp_path) -> None:
    made = config(tmp_path)
    assert last_values(made.stations[0], rows(node=[1.0])) == {}
    assert last_values(made.stations[0], rows(gone=[1.0, 2.0, 3.0])) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
)


@given(json_values | st.just({"quality": {"rows": {"node": [1, 2, 3, 4, ["a", {}, True]]}}}))
def test_whatever_was_saved_nothing_breaks(tmp_path_factory, state) -> None:
    made = config(tmp_path_factory.getbasetemp())
    found = said(made, state if isinstance(state, dict) else {"quality": state})
    assert found


def test_rows_that_no_decision_has_seen_are_told_and_what_to_do(tmp_path) -> None:
    made = config(tmp_path)
    assert list(late(made, {"slope": {"rules": {"grid": {"late": 3}}, "watch": None}})) == []
    (told,) = late(made, {"slope": {"rules": {"grid": {"late": 40}}, "watch": None}})
    assert (told.check, told.subject, told.value) == ("values", "slope", 40.0)
    assert "lateness_s = 0" in told.text
    assert "lateness_s" in told.fix


@given(json_values)
def test_of_whatever_was_saved_late_rows_are_a_number(state) -> None:
    saved = state if isinstance(state, dict) else {"watch": state, "rules": {"grid": state}}
    assert isinstance(late_rows(saved), int)
