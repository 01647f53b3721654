"""``talus-export generate`` with the generator: sensors, behaviours, faults and their labels."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

from edge.csv_file import read_csv
from export.__main__ import main
from export.generator.fault import Fault
from export.generator.site import generate_site
from export.generator.spec import DAY_MS, SlopeSpec
from export.generator.table import write_csv


def columns_of(path: Path) -> list[str]:
    with path.open(encoding="ascii") as file:
        return next(csv.reader(file))


def test_the_command_writes_the_sensors_and_the_behaviour_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    arguments = ["--days", "40", "--seed", "3", "--out", str(out), "--behaviour", "stopping"]
    assert main(["generate", *arguments, "--sensors", "crack=1,tilt=3,gnss,rain"]) == 0
    assert columns_of(out) == ["time", "crack_1", "gnss_1", "tilt_1", "tilt_2", "tilt_3", "rain"]
    wanted = tmp_path / "wanted.csv"
    spec = SlopeSpec(
        3, days=40, behaviour="stopping", cracks=1, gnss=1, tilt_nodes=3,
        pore_pressure=False, temperature=False,
    )  # fmt: skip
    write_csv(generate_site(spec), wanted)
    assert out.read_bytes() == wanted.read_bytes()
    assert main(["generate", *arguments[:-1], "reservoir_steps", "--step", "21600"]) == 0
    assert "reservoir_level" in columns_of(out)
    assert len(out.read_text(encoding="ascii").splitlines()) == 161


def test_the_command_lets_a_slope_fail_on_the_day(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    arguments = ["--days", "30", "--failure-day", "25", "--noise", "0.5", "--out", str(out)]
    assert main(["generate", *arguments]) == 0
    rows = list(read_csv("x", out, ","))
    gone = [r.time_ms for r in rows if math.isnan(r.values[0])]
    assert gone[0] - rows[0].time_ms == 25 * DAY_MS


def test_the_command_puts_faults_in_and_says_where(tmp_path: Path) -> None:
    out, labels = tmp_path / "x.csv", tmp_path / "faults.csv"
    arguments = ["--days", "365", "--out", str(out), "--labels", str(labels)]
    assert main(["generate", *arguments, "--faults", "freeze=4,gap=2"]) == 0
    with labels.open(encoding="ascii") as file:
        spans = list(csv.DictReader(file))
    assert Counter(s["fault"] for s in spans) == {"freeze": 4, "gap": 2}
    rows = {
        r.time_ms: dict(zip(r.channels, r.values, strict=True)) for r in read_csv("x", out, ",")
    }
    for span in spans:
        start, end = int(span["start_ms"]), int(span["end_ms"])
        inside = [values for time_ms, values in rows.items() if start <= time_ms <= end]
        if span["fault"] == "gap":
            assert not inside
        else:
            assert len({values[span["channel"]] for values in inside}) == 1
    assert main(["generate", *arguments, "--faults", "all"]) == 0
    assert {fault.text for fault in Fault} <= {line.split(",")[0] for line in labels.open()}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--behaviour", "flying"], "behaviour must be one of stable"),
        (["--behaviour", "failure"], "failure_day goes with"),
        (["--behaviour", "creep", "--failure-day", "9"], "failure_day goes with"),
        (["--sensors", "crack=two"], "--sensors 'crack=two': there are crack=N"),
        (["--sensors", "laser"], "--sensors 'laser'"),
        (["--faults", "rust=2"], "--faults 'rust=2': KIND=N of gap, freeze"),
        (["--faults", "freeze=nan"], "0 .. 100000 a year"),
        (["--labels", "x.csv"], "--labels goes with --faults"),
        (["--step", "0"], "step_s"),
        (["--noise", "nan"], "noise_scale"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_words(
    tmp_path: Path, arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.csv"
    assert main(["generate", *arguments, "--out", str(out)]) == 1
    assert wanted in capsys.readouterr().err
    assert not out.exists()
