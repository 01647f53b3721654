"""`talus bench` as it is called: its table, its JSON, what it says where something is lacking."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from typing import Any

import bench_parts as parts
import pytest
import tiny_bundle
from jsonschema import Draft202012Validator

from edge.__main__ import main
from edge.bench import STAGES, demo_bundle
from edge.bench_energy import Counters
from edge.bench_machine import Kernel, look
from edge.bench_read import faults
from edge.schema_commands import load_schema

SCHEMA = load_schema("bench")
WAYS = ("--runtime", "litert,onnxruntime", "--precision", "float32,int8")


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> tuple[list[str], dict[str, Any]]:
    """What a whole bench prints, and writes."""
    out = tmp_path_factory.mktemp("bench") / "whole.json"
    command = [*parts.COMMAND, "--count", "120", "--stations", "1,2,500", *WAYS, "--json", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), json.loads(out.read_text())


def closed(schema: Any) -> Any:
    """A schema that takes no field which it does not describe."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(each) for key, each in schema.items()}
    if isinstance(schema.get("properties"), dict):
        found["additionalProperties"] = False
    return found


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value; of lists the first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1])
    found = []
    for key, each in inner:
        found.append((*before, key))
        if isinstance(each, (dict, list)):
            found += places(each, (*before, key))
    return found


def brief(value: Any) -> Any:
    """The same with the first of each list alone."""
    if isinstance(value, dict):
        return {key: brief(each) for key, each in value.items()}
    return [brief(each) for each in value[:1]] if isinstance(value, list) else value


def test_what_it_writes_is_as_its_schema_says(said, tmp_path) -> None:
    soak = ("--soak", "0.4s", "--interval", "0.2s", "--root", parts.board(tmp_path / "pi"))
    written = [said[1], parts.bench(tmp_path / "s.json", *parts.QUICK, *soak),
               parts.bench(tmp_path / "p.json", *parts.BRIEF)]  # fmt: skip
    assert [values["mode"] for values in written] == ["table", "soak", "paced"]
    validator = Draft202012Validator(closed(SCHEMA))
    for values in written:
        found = [f"{list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(values)]
        assert found == []
    filled = {key for values in written for key, each in values.items() if each}
    assert set(SCHEMA["properties"]) - filled == {"ended_by"}  # so everything was looked at


def test_a_damaged_result_is_refused_as_by_a_validator(said) -> None:
    """The reader knows the words of the schema that it needs, and no library."""
    whole = brief(said[1])
    assert list(faults(whole, SCHEMA, SCHEMA, "")) == []
    validator = Draft202012Validator(SCHEMA)
    looked_at = 0
    for place in places(whole):
        for wrong in ({"wrong": [True]}, "x", -1, 1.5, True, "gone"):
            damaged = copy.deepcopy(whole)
            inside: Any = damaged
            for step in place[:-1]:
                inside = inside[step]
            if wrong == "gone":
                del inside[place[-1]]
            else:
                inside[place[-1]] = wrong
            refused = bool(list(faults(damaged, SCHEMA, SCHEMA, "")))
            assert refused == (not validator.is_valid(damaged)), (place, wrong)
            looked_at += refused
    assert looked_at > 300


def test_the_table_has_the_lines_that_programs_read(said) -> None:
    lines, values = said
    text = "\n".join(lines)
    assert re.findall(r"^(\w+) +p50 us", text, re.MULTILINE) == ["litert", "onnxruntime"]
    whole = re.findall(r"^bytes to decision +([\d.]+) +([\d.]+) ", text, re.MULTILINE)
    assert len(whole) == 2
    for stage in STAGES:
        shown = re.findall(rf"^{stage} +([\d.]+) +([\d.]+) +(\d+)%$", text, re.MULTILINE)
        assert [float(p50) > 0.0 for p50, _, _ in shown] == [True, True], stage
    for other in ("publish", "state", "outbox fsync", "not measured: 500 stations"):
        assert sum(line.startswith(other) for line in lines) == 1, other
    assert values["ended"] == "done"


def test_what_is_measured_holds_together(said) -> None:
    values = said[1]
    ways = [(run["way"]["runtime"], run["way"]["precision"]) for run in values["runs"]]
    assert ways == [("litert", "float32"), ("litert", "int8"), ("onnxruntime", "float32")]
    assert [(m["runtime"], m["precision"]) for m in values["missing"]] == [("onnxruntime", "int8")]
    for run in values["runs"]:
        s, r = run["readings"], run["rounds"]
        assert s["count"] == 120
        assert r["count"] == 5
        assert 0 < s["p50_us"] <= s["p90_us"] <= s["p99_us"] <= s["max_us"]
        assert s["p99_9_us"] is None  # 120 readings know nothing of one in a thousand
        assert r["quietest_us"] <= r["median_us"] <= r["worst_us"]
        assert run["readings_per_s"] == pytest.approx(1e6 / s["mean_us"], rel=0.01)
    for start in values["starts"]:
        assert start["failed"] == ""
        assert start["start_ms"] > start["import_ms"] + start["bundle_ms"]
        assert start["resident_mb"] > 10
    assert [s["stations"] for s in values["stations"]] == [1, 2, 1, 2]
    models = {(m["model"], m["precision"]) for m in values["models"]}
    assert models == {(m, p) for m in ("gru", "autoencoder", "pca") for p in ("float32", "int8")}
    assert all(m["first_us"] > 0 and m["step"]["count"] > 10 for m in values["models"])
    assert values["method"]["clock_overhead_ns"] > 0
    assert values["bundles"][0]["warm_up_readings"] >= 100
    assert values["leaving"][0]["commit"]["p50_us"] > values["method"]["clock_overhead_ns"] / 1000


def test_bundles_of_several_sizes_and_a_call_for_many_stations(tmp_path, capsys) -> None:
    tiny = tiny_bundle.make(tmp_path / "tiny")
    asked = ("--runtime", "onnxruntime", "--precision", "float32", "--no-start", "--count", "20")
    bundles = ("--bundle", tiny, "--bundle", demo_bundle())
    values = parts.bench(tmp_path / "o.json", *bundles, *asked, "--stations", "1,4")
    assert [(s["label"], s["hidden"]) for s in values["bundles"]] == [
        ("bluff v1", 2), ("demo-slope v1", 32),
    ]  # fmt: skip
    batches = [(m["bundle"], m["batch"]) for m in values["models"] if m["model"] == "gru"]
    assert sorted(batches) == [
        ("bluff v1", 1), ("bluff v1", 4), ("demo-slope v1", 1), ("demo-slope v1", 4),
    ]  # fmt: skip
    assert capsys.readouterr().out.count("bytes to decision") == 2


def test_json_to_stdout_is_json_alone(capfd) -> None:
    assert main(["bench", *parts.BRIEF, "--json", "-"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["ended"] == "done"
    assert "from when it was due" in err


def test_it_leaves_the_process_as_it_was(tmp_path) -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    values = parts.bench(tmp_path / "o.json", *parts.BRIEF, "--core", core)
    assert values["method"]["pinned_core"] == core
    assert os.sched_getaffinity(0) == before
    values = parts.bench(tmp_path / "o.json", *parts.BRIEF, "--core", "any")
    assert values["method"]["pinned_core"] is None
    values = parts.bench(tmp_path / "o.json", *parts.BRIEF, "--core", "4000")
    assert values["method"]["pinned"].startswith("not pinned: ")


def test_a_runtime_that_is_absent_is_named_with_what_to_do(tmp_path) -> None:
    hide = "import sys; sys.modules['tflite_runtime'] = None\nfrom edge.__main__ import main\n"

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = f"{hide}sys.exit(main({['bench', *map(str, arguments)]!r}))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              check=False)  # fmt: skip

    asked = run("--runtime", "tflite")
    assert asked.returncode == 1
    assert "--runtime tflite: not installed (pip install 'talus-edge[tflite]')" in asked.stderr
    assert "installed: litert, onnxruntime" in asked.stderr
    out = tmp_path / "o.json"
    rest = run("--count", "20", "--precision", "float16", "--stations", "1", "--no-start",
               "--json", out)  # fmt: skip
    assert rest.returncode == 0, rest.stderr
    assert "not measured: tflite all: not installed" in rest.stdout
    assert "not measured: onnxruntime float16: the bundle has none" in rest.stdout
    missing = json.loads(out.read_text())["missing"]
    assert {m["runtime"] for m in missing} == {"tflite", "onnxruntime"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--bundle", "/nowhere"], "/nowhere/manifest.json: there is no such bundle"),
        (["--bundle", "TINY", "--precision", "int8"],
         "tiny/manifest.json: has no artifact of precision int8; it has float32 for onnxruntime"),
        (["--bundle", "TINY", "--runtime", "litert"], "tiny: runs in no way that was asked for"),
        (["--precision", "int4"], "--precision int4: there are float32, float16"),
        (["--runtime", "keras"], "--runtime keras: there are litert, onnxruntime, tflite"),
        (["--data-dir", "/nowhere", *parts.QUICK], "/nowhere: No such file or directory: give a"),
        (["--json", "/nowhere/o.json"], "/nowhere/o.json: there is no such folder"),
        (["--rate", "1e6", "--seconds", "9h"], "make it shorter, or use --soak"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_to_do(tmp_path, capsys, arguments, wanted) -> None:
    tiny = tmp_path / "tiny"
    if "TINY" in arguments:
        tiny_bundle.make(tiny)
    assert main(["bench", *(str(tiny) if a == "TINY" else a for a in arguments)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("talus bench: ")
    assert wanted in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seconds", "3"], ["--interval", "3s"], ["--soak", "3 weeks"], ["--rate", "0"],
        ["--rate", "nan"], ["--count", "0"], ["--stations", "1,0"], ["--core", "-2"],
        ["--soak", "30d", "--interval", "1s"], ["compare"], ["--soak", "1h", "--rate", "9",
        "--seconds", "3"],
    ],
)  # fmt: skip
def test_wrong_usage(capsys, arguments) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", *arguments])
    assert stop.value.code == 2
    assert "usage: talus bench" in capsys.readouterr().err


def test_a_board_as_its_kernel_tells_of_it(tmp_path, capsys) -> None:
    root = parts.board(tmp_path / "pi")
    values = parts.bench(tmp_path / "o.json", *parts.BRIEF, "--root", root)
    m = values["machine"]
    assert m["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert m["cpu"] == "Cortex-A53 + Cortex-A72"
    assert (m["governor"], m["frequency_mhz"], m["frequency_max_mhz"]) == ("powersave", 1500, 1800)
    assert (m["temperature_c"], m["memory_mb"], m["load"]) == (61.35, 3884, 0.1)
    assert m["unreadable"] == {}
    assert values["warnings"][0].startswith("governor powersave: it may keep the cores slow")
    assert "WARNING: governor powersave" in capsys.readouterr().out


def test_a_board_that_tells_nothing(tmp_path) -> None:
    values = parts.bench(tmp_path / "o.json", *parts.BRIEF, "--root", tmp_path)
    m = values["machine"]
    names = ("board", "cpu", "governor", "temperature", "frequency")
    assert {m["unreadable"][name] for name in names} == {"absent"}
    assert (m["board"], m["cpu"], m["governor"], m["temperature_c"]) == (None,) * 4


def test_what_this_user_may_not_read_is_said(tmp_path) -> None:
    root = parts.board(tmp_path / "pi")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    closed_files = ["sys/class/powercap/intel-rapl:0/energy_uj", "proc/cpuinfo"]
    closed_files += [str(p.relative_to(root)) for p in root.glob("sys/**/scaling_governor")]
    for name in closed_files:
        root.joinpath(name).chmod(0)
    assert parts.as_nobody(lambda: Counters(root).read().why).startswith(
        "/sys/class/powercap/intel-rapl:0/energy_uj: no permission"
    )
    unreadable = json.loads(parts.as_nobody(lambda: json.dumps(look(root).unreadable)))
    assert unreadable == {"governor": "no permission", "cpu": "no permission"}
    assert Kernel(root).conditions().temperature_c == 61.35


def test_plain_kernels_are_asked_for_by_name(tmp_path) -> None:
    out = tmp_path / "plain.json"
    words = ("--kernels", "plain", "--count", "20", "--rounds", "1", "--stations", "1",
             "--runtime", "litert", "--precision", "float32", "--json", str(out))  # fmt: skip
    done = subprocess.run([*parts.COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\nkernels: plain\n" in done.stdout
    values = json.loads(out.read_text())
    assert values["settings"]["kernels"] == "plain"
    assert values["starts"][0]["failed"] == ""
    shown = subprocess.run([*parts.COMMAND, "compare", str(out)], capture_output=True, text=True,
                           check=True)  # fmt: skip
    assert "table of 20, plain kernels" in shown.stdout
