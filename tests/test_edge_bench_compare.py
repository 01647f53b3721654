"""`talus bench compare`: boards side by side, as text, as Markdown, drawn; and what it refuses."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import bench_parts as parts
import pytest

from edge.__main__ import main

ONE = parts.ONE


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """One result of each mode."""
    folder = tmp_path_factory.mktemp("results")
    return {
        "table": parts.bench(folder / "t.json", *parts.QUICK, "--stations", "1"),
        "paced": parts.bench(folder / "p.json", *ONE, "--rate", "300", "--seconds", "0.3"),
        "soak": parts.bench(folder / "s.json", *ONE, "--soak", "0.6s", "--interval", "0.2s"),
    }


def put(path: Path, values: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))
    return path


def slower(values: dict[str, Any], times: float, board: str) -> dict[str, Any]:
    """The same result, of a board that takes so many times as long."""
    other = copy.deepcopy(values)
    other["machine"]["board"] = board
    for run in other["runs"]:
        for key, value in run["readings"].items():
            if key.endswith("_us") and value is not None:
                run["readings"][key] = value * times
        run["readings_per_s"] /= times
    return other


@pytest.fixture
def two(tmp_path, made) -> list[str]:
    made["table"]["machine"]["board"] = "Board | A\x1b[31m"
    one = put(tmp_path / "one.json", made["table"])
    return [str(one), str(put(tmp_path / "two.json", slower(made["table"], 2.5, "Board B")))]


def compare(*arguments: object) -> int:
    return main(["bench", "compare", *map(str, arguments)])


def test_ratios_are_to_the_first(two, capsys) -> None:
    assert compare(*two) == 0
    said = capsys.readouterr().out
    assert re.search(r"litert float32: p50 us +[\d.,]+ +[\d.,]+ \(x2\.50\)\n", said)
    assert re.search(r"litert float32: readings/s +[\d.,]+ +[\d.,]+ \(x0\.40\)\n", said)
    assert re.search(r"outbox fsync p50 us +[\d.,]+ +[\d.,]+ \(x1\.00\)\n", said)
    assert "Less is better, but for readings/s" in said
    assert "\x1b" not in said
    assert "gru.float32.tflite" not in said
    assert compare(*two, "--all") == 0
    everything = capsys.readouterr().out
    assert "demo-slope v1 gru.float32.tflite in litert, batch 1: step p50 us" in everything
    assert "litert float32: decode p50 us" in everything


def test_one_markdown_table_for_all_boards(two, tmp_path, made, capsys) -> None:
    third = put(tmp_path / "three.json", made["paced"])
    assert compare(*two, third, "--markdown") == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert lines[0] == "|  | one | two | three |"
    assert lines[1] == "|---|---:|---:|---:|"
    cells = [re.split(r"(?<!\\)\|", line) for line in lines]
    assert {len(row) for row in cells} == {6}
    rows = {row[1].strip(): [cell.strip() for cell in row[2:5]] for row in cells}
    assert rows["machine"][0].startswith("Board \\| A")
    assert rows["demo-slope v1 litert float32: p50 us"][2] == "-"
    assert rows["demo-slope v1 litert float32 at 300 Hz, from due: p50 us"][:2] == ["-", "-"]


def test_the_plot_holds_each_board_and_each_soak(two, tmp_path, made) -> None:
    soak = put(tmp_path / "soak<&>.json", made["soak"])
    paced = put(tmp_path / "paced.json", made["paced"])
    picture = tmp_path / "o.svg"
    assert compare(*two, paced, soak, "--plot", picture) == 0
    root = ET.fromstring(picture.read_text())
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    for wanted in ("one", "two", "paced", "soak<&>", "demo-slope v1 litert float32",
                   "demo-slope v1 litert float32 at 300 Hz", "p50 of an interval (us)",
                   "soak<&> litert float32"):  # fmt: skip
        assert wanted in texts, wanted
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    xs = [float(dot.get("cx")) for dot in dots]
    assert all(0 < x < 900 for x in xs)
    assert xs[0] < xs[2]  # p50 of the first board, and of the slower one
    height = float(root.get("height"))
    assert all(float(dot.get("cy")) < height for dot in dots)


def test_nothing_to_draw_is_said(tmp_path, made, capsys) -> None:
    bare = copy.deepcopy(made["table"])
    bare["runs"] = []
    assert compare(put(tmp_path / "a.json", bare), "--plot", tmp_path / "o.svg") == 1
    assert f"{tmp_path / 'o.svg'}: nothing to draw" in capsys.readouterr().err
    assert not (tmp_path / "o.svg").exists()
    whole = put(tmp_path / "b.json", made["table"])
    assert compare(whole, "--plot", "/nowhere/o.svg") == 1
    assert "/nowhere/o.svg: No such file or directory" in capsys.readouterr().err


def test_what_is_not_alike_is_said(tmp_path, made, capsys) -> None:
    other = copy.deepcopy(made["table"])
    other["version"] = "99"
    other["bundles"][0]["hidden"] = 128
    other["ended"], other["ended_by"] = "interrupted", "SIGTERM"
    other["warnings"] = ["governor powersave: slow"]
    files = (
        put(tmp_path / "a" / "same.json", made["table"]),
        put(tmp_path / "b" / "same.json", other),
    )
    assert compare(*files) == 0
    said = capsys.readouterr().out
    assert all(str(file) in said for file in files)  # of one name: in full
    assert f"NOT WHOLE: {files[1]} was interrupted by SIGTERM" in said
    assert "not of the same bundles" in said
    assert "not of the same release" in said
    assert f"WARNING: {files[1]}: governor powersave: slow" in said
    assert "table of 20 (INTERRUPTED)" in said


@pytest.mark.parametrize(
    ("damage", "wanted"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a result of talus bench; talus bench --json makes one"),
        (b'{"format": 1, "checks": []}', "not a result of talus bench"),
        ({"format": 2}, "format 2, this release reads 1: compare with the release that wrote it"),
        ({"format": None}, "format None, this release reads 1"),
        ({"machine": 3}, "damaged: machine must be object; run talus bench --json anew"),
        ({"runs": [{}]}, "damaged: runs[0].way is missing"),
        ({"started_ms": float("nan")}, "damaged: started_ms must be integer"),
        ({"ended": "well"}, "damaged: ended must be one of"),
    ],
)
def test_a_file_that_is_none_is_named_with_what_to_do(
    tmp_path, made, capsys, damage, wanted
) -> None:
    good, bad = put(tmp_path / "good.json", made["table"]), tmp_path / "bad.json"
    bad.write_bytes(
        damage if isinstance(damage, bytes) else json.dumps(made["table"] | damage).encode()
    )
    assert compare(good, bad) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"talus bench: {bad}: ")
    assert wanted in said


def test_a_file_that_is_not_there(tmp_path, capsys) -> None:
    assert compare(tmp_path / "no.json") == 1
    assert "no.json: No such file or directory; talus bench --json makes one" in (
        capsys.readouterr().err
    )
    assert compare(tmp_path) == 1
    assert "Is a directory" in capsys.readouterr().err


def test_help_has_examples_and_exit_codes(capsys) -> None:
    for arguments, wanted in (
        (["bench", "--help"], ("examples:", "--soak 8h", "exit codes:", "143 by SIGTERM")),
        (["bench", "compare", "--help"], ("examples:", "--markdown", "--plot")),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        said = capsys.readouterr().out
        assert all(each in said for each in wanted)
