"""``talus-export calibrate``: what it writes is read by the gateway, and bad input is named."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from calibrate_site import HEAD, site_toml, written

from edge.config import load_config
from edge.pipeline import Pipeline
from edge.replay import recorded, replay
from export.__main__ import main
from export.calibrate.insert import inserted
from export.generator.site import Site, generate_site
from export.generator.spec import SlopeSpec
from export.generator.table import write_csv

SPEC = SlopeSpec(
    5, days=370, step_s=14_400, behaviour="stopping", cracks=2, gnss=1, pore_pressure=False,
    soil_moisture=True,
)  # fmt: skip
GENERAL = '\n[station.decision]\nprofile = "general"\n'
OWN = """
[station.site.crack_1]   # by hand
noise_sd = 9.0
# why: a note

[[station.rule]]
name = "speed 1"
level = 1
when = [{ evidence = "velocity", window_s = 86400, above = 99.0 }]

[[station.rule]]
name = "mine"
level = 1
when = [{ evidence = "velocity", window_s = 86400, above = 77.0 }]
"""


class Done:
    """One calibration, with all that it wrote."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site, self.toml, self.csv = written(folder, SPEC, GENERAL)
        other = site_toml(self.site, "other", 'bundle = "b"\n')
        self.toml.write_text(self.toml.read_text() + OWN + other + "\n[mqtt]\nhost = 'x'\n")
        self.whole, self.plot = folder / "whole.toml", folder / "page.png"
        arguments = ["--site", self.toml, "--data", self.csv, "--into", self.toml]
        arguments += ["--out", self.whole, "--plot", self.plot, "--json", "--quiet"]
        assert main(["calibrate", *map(str, arguments)]) == 0
        self.json = json.loads(capsys.readouterr().out)
        self.left = {p.name for p in folder.iterdir()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    import contextlib
    import io

    out = io.StringIO()

    class Captured:
        def readouterr(self):
            return type("Out", (), {"out": out.getvalue()})

    with contextlib.redirect_stdout(out):
        return Done(tmp_path_factory.mktemp("calibrated"), Captured())


def test_the_whole_file_is_read_by_the_gateway_and_runs_a_station(done: Done) -> None:
    config = load_config(done.whole)  # as a gateway does: no bundle, rules alone
    station = config.stations[0]
    assert [c.name for c in station.site if c.noise_sd == c.noise_sd]
    names = [rule.name for rule in station.decision.rules]
    assert {"speed 1", "speed 2", "speed 3", "speed 4", "mine", "moves faster"} <= set(names)
    pipeline = Pipeline(config, {s.name: "no bundle" for s in config.stations})
    items = recorded(config, [str(done.csv)])
    taken = sum(pipeline.receive(next(items)).reason == "" for _ in range(500))  # type: ignore[arg-type]
    assert taken == 500
    assert pipeline.stations["slope"].rules is not None


def test_what_is_written_is_what_was_found(done: Done) -> None:
    station = tomllib.loads(done.whole.read_text())["station"][0]
    for channel in done.json["channels"]:
        for key, value in channel["settings"].items():
            if key != "name" and value not in ("", []):
                given = station["site"][channel["name"]][key]
                assert given == (pytest.approx(value) if isinstance(value, float) else value)
    rules = {rule["name"]: rule for rule in station["rule"]}
    for point in done.json["set_points"]:
        assert rules[point["rule"]]["when"][0]["above"] == pytest.approx(point["threshold"])
    levels = [p["threshold"] for p in done.json["set_points"] if p["rule"].startswith("speed 1")]
    assert len(levels) == 2  # the cracks, and GNSS a hundred times as noisy


def test_the_replayed_onsets_are_those_that_the_file_gives_in_a_gateway(done: Done) -> None:
    config = load_config(done.whole)
    bundles: dict = {s.name: "no bundle" for s in config.stations}
    risen = 0
    for _, outcome in replay(config, bundles, recorded(config, [str(done.csv)])):
        for change in outcome.changes if outcome else ():
            if change.station == "slope" and change.kind == "level":
                risen += change.previous_level < 1 <= change.level
    assert risen == done.json["onsets"]["with_set_points"]["1"]
    for point in done.json["set_points"]:
        assert point["replayed_onsets"] == pytest.approx(point["onsets"], abs=1)


def test_it_says_what_each_number_rests_on_and_promises_nothing(done: Done) -> None:
    text = done.whole.read_text()
    for words in ("sd of first differences", "median of", "velocity by month", "rule of three",
                  "Budget: 4, 1, 0.3, 0.1", "aimed at", "(se)", "week by week"):  # fmt: skip
        assert words in text
    assert done.json["set_points"][3]["supported"] is False


def test_what_it_replaces_is_commented_out_and_the_rest_is_kept(done: Done) -> None:
    before, after = done.toml.read_text(), done.whole.read_text()
    assert "# replaced by the calibration: noise_sd = 9.0" in after
    old, new = tomllib.loads(before), tomllib.loads(after)
    assert new["station"][1] == old["station"][1]
    assert new["mqtt"] == old["mqtt"]
    assert new["station"][0]["channel"] == old["station"][0]["channel"]
    assert "mine" in [rule["name"] for rule in new["station"][0]["rule"]]


def test_a_second_time_gives_the_same_settings(done: Done) -> None:
    text = done.whole.read_text()
    start = text.index("# Calibration of station slope")
    fragment = text[start : text.index("\n[[station]]\n", start)]
    again = tomllib.loads(inserted(text, "slope", fragment))
    assert again == tomllib.loads(text)


def test_it_leaves_nothing_half_written_and_a_page_that_is_a_picture(done: Done) -> None:
    assert done.left == {"site.toml", "history.csv", "whole.toml", "page.png"}
    assert done.plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def refused(capsys: pytest.CaptureFixture[str], toml: Path, csv: Path, *more: str) -> str:
    """What it says when it ends with 1 and writes nothing."""
    out = toml.parent / "out.toml"
    arguments = ["--site", str(toml), "--data", str(csv), "--quiet", "--out", str(out), *more]
    assert main(["calibrate", *arguments]) == 1
    assert not list(toml.parent.glob("*out.toml*"))
    said = capsys.readouterr().err
    assert said.startswith("talus-export calibrate: ")
    assert "Traceback" not in said
    return said


def with_values(folder: Path, spec: SlopeSpec, change) -> tuple[Path, Path]:
    """A site whose values were changed before they were written."""
    site, toml, csv = written(folder, spec)
    values = site.values.copy()
    change(values, site)
    write_csv(Site(**{f: getattr(site, f) for f in site.__slots__} | {"values": values}), csv)
    return toml, csv


SMALL = SlopeSpec(1, days=30, step_s=10_800, cracks=2, pore_pressure=False)


def test_bad_histories_are_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, toml, csv = written(tmp_path, SlopeSpec(1, days=10, step_s=3600, cracks=1))
    said = refused(capsys, toml, csv)
    assert "10 days" in said
    assert "14 are needed" in said

    def constant(values: np.ndarray, site: Site) -> None:
        values[:, :2] = 3.25

    toml, csv = with_values(tmp_path, SMALL, constant)
    said = refused(capsys, toml, csv)
    assert "no channel of movement can be calibrated" in said
    assert "crack_1: the same value, 3.25" in said

    def empty(values: np.ndarray, site: Site) -> None:
        values[:, 0] = np.nan

    toml, csv = with_values(tmp_path, SMALL, empty)
    assert "'crack_1' has no value in the whole history" in refused(capsys, toml, csv)

    _, toml, csv = written(tmp_path, SlopeSpec(1, days=30, step_s=10_800, cracks=0))
    assert "has no channel of displacement, crack_width, tilt" in refused(capsys, toml, csv)

    _, toml, csv = written(tmp_path, SMALL)
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    assert "sort" in refused(capsys, toml, csv)


def test_bad_arguments_are_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, toml, csv = written(tmp_path, SMALL)
    assert "--budget must be" in refused(capsys, toml, csv, "--budget", "0")
    assert "--budget must be" in refused(capsys, toml, csv, "--budget", "nan")
    assert "'east' is not configured" in refused(capsys, toml, csv, "--station", "east")
    assert "no profile 'nothing'; there are: none, general" in refused(
        capsys, toml, csv, "--profile", "nothing"
    )
    assert "folder that does not exist" in refused(
        capsys, toml, csv, "--plot", str(tmp_path / "no" / "p.png")
    )
    assert "No such file" in refused(capsys, toml, tmp_path / "none.csv")
    assert "--into needs --out" in _without_out(capsys, toml, csv)


def _without_out(capsys: pytest.CaptureFixture[str], toml: Path, csv: Path) -> str:
    arguments = ["--site", str(toml), "--data", str(csv), "--into", str(toml)]
    assert main(["calibrate", *arguments]) == 1
    return capsys.readouterr().err


def test_one_sensor_and_one_that_hangs_are_stated_and_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hangs(values: np.ndarray, site: Site) -> None:
        values[:, 1] = 1.0

    toml, csv = with_values(tmp_path, SMALL, hangs)
    assert main(["calibrate", "--site", str(toml), "--data", str(csv)]) == 0
    said = capsys.readouterr()
    assert "crack_2: left out: the same value" in said.err
    assert "# crack_2: not calibrated" in said.out
    station = tomllib.loads("[[station]]\n" + said.out)["station"][0]
    assert "crack_2" not in station["site"]
    for rule in station["rule"]:
        assert rule["when"][0]["channels"] == ["crack_1"]
        assert rule["when"][0]["at_least"] == 1
    assert "seasons: a year of history is needed" in said.out
    assert "Less than a year" in said.out


def test_rows_twice_and_gaps_do_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, toml, csv = written(tmp_path, SMALL)
    arguments = ["calibrate", "--site", str(toml), "--data", str(csv), "--json", "--quiet"]
    assert main(arguments) == 0
    clean = json.loads(capsys.readouterr().out)
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([lines[0], *(row for row in lines[1:] for _ in range(2))]) + "\n")
    assert main(arguments) == 0
    twice = json.loads(capsys.readouterr().out)
    assert twice["channels"] == clean["channels"]
    assert [p["threshold"] for p in twice["set_points"]] == [
        p["threshold"] for p in clean["set_points"]
    ]


def test_a_station_that_cannot_be_found_in_the_file_is_said() -> None:
    from edge.errors import TalusError

    site = generate_site(SMALL)
    text = HEAD + site_toml(site)
    with pytest.raises(TalusError, match="paste the fragment"):
        inserted(text, "elsewhere", "x = 1\n")
