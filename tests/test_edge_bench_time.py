"""The bench over time: a fixed rate, soaks, and what is kept where it is stopped."""

from __future__ import annotations

import json
import math
import signal
import time
from pathlib import Path

import bench_parts as parts
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.__main__ import main
from edge.bench_histogram import PER_OCTAVE, Histogram
from edge.bench_spread import rounds, spread
from edge.schema_commands import load_schema

ONE = parts.ONE
TIMES = st.lists(st.integers(1, 10**12), min_size=1, max_size=300)


def test_a_rate_that_is_kept(tmp_path) -> None:
    values = parts.bench(tmp_path / "o.json", *ONE, "--rate", "50", "--seconds", "0.6")
    (paced,) = values["paced"]
    assert paced["due"] == paced["done"] + paced["never"] == paced["latency"]["count"] == 30
    assert paced["latency"]["p50_us"] >= paced["work"]["p50_us"]
    assert paced["core_share"] < 1.0


def test_a_rate_that_is_too_much_shows_as_waiting(tmp_path, capsys) -> None:
    values = parts.bench(tmp_path / "o.json", *ONE, "--rate", "200000", "--seconds", "0.3")
    (paced,) = values["paced"]
    assert not paced["keeps_up"]
    assert paced["behind_ms"] > 100
    assert paced["due"] == paced["done"] + paced["never"] == paced["latency"]["count"] == 60_000
    assert paced["work"]["count"] == paced["done"]
    # Those that never had a turn are in the percentiles, with the time they had waited.
    assert paced["latency"]["p50_us"] > 100 * paced["work"]["p50_us"]
    assert "DOES NOT KEEP UP with 200000 a second" in capsys.readouterr().out


def test_a_pause_of_the_whole_process_is_waited_out_by_all_that_were_due(tmp_path) -> None:
    """No coordinated omission: one reading works on through the pause, but many were due in it."""
    out = tmp_path / "o.json"
    process = parts.begin(*ONE, "--rate", "100", "--seconds", "3", "--json", out)
    parts.wait_for(process, lambda line: "100 a second for 3 s" in line)
    time.sleep(0.5)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    (paced,) = json.loads(out.read_text())["paced"]
    assert paced["due"] == paced["latency"]["count"] == 300
    assert paced["latency"]["max_us"] > 900_000
    assert paced["latency"]["p90_us"] > 500_000  # a third of all came in that second


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_table_that_is_stopped_keeps_what_it_has(tmp_path, number, code) -> None:
    out = tmp_path / "o.json"
    process = parts.begin(*ONE, "--no-start", "--count", "1500", "--json", out)
    parts.wait_for(process, lambda line: line.startswith("bytes to decision"))
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    name = signal.Signals(number).name
    assert f"INTERRUPTED by {name}: not all was measured; kept: {out}" in said
    values = json.loads(out.read_text())
    Draft202012Validator(load_schema("bench")).validate(values)
    assert (values["ended"], values["ended_by"]) == ("interrupted", name)
    assert values["runs"][0]["readings"]["count"] == 1500
    assert values["models"] == values["stations"] == []


def test_a_soak_that_is_stopped_keeps_the_interval_it_was_in(tmp_path) -> None:
    out = tmp_path / "o.json"
    process = parts.begin(*ONE, "--soak", "8h", "--interval", "30s", "--json", out)
    parts.wait_for(process, lambda line: line.split()[:1] == ["at"])
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "INTERRUPTED by SIGINT" in said
    values = json.loads(out.read_text())
    Draft202012Validator(load_schema("bench")).validate(values)
    (soak,) = values["soaks"]
    (part,) = soak["intervals"]
    assert part["partial"]
    assert sum(count for _, count in part["histogram"]) == part["readings"] > 0
    assert soak["seconds"] == 8 * 3600


def test_a_soak_that_is_killed_is_on_disk_and_shown_as_not_whole(tmp_path, capsys) -> None:
    out = tmp_path / "o.json"
    process = parts.begin(*ONE, "--soak", "20min", "--interval", "0.3s", "--json", out)
    parts.wait_for(process, lambda line: line.split()[:1] == ["at"])
    for _ in range(3):  # the first of them was kept before the third was told
        parts.wait_for(process, lambda line: line[:1] == " ")
    process.kill()
    process.communicate()
    values = json.loads(out.read_text())
    assert values["ended"] == "running"
    assert values["soaks"][0]["intervals"]
    assert main(["bench", "compare", str(out)]) == 0
    assert "NOT WHOLE: o was running: what it lacks is shown as -" in capsys.readouterr().out


def test_a_soak_sees_heat_and_counts_energy(tmp_path) -> None:
    root, out = parts.board(tmp_path / "pi"), tmp_path / "o.json"
    command = (*ONE, "--soak", "10min", "--interval", "0.3s", "--root", root, "--json", out)
    process = parts.begin(*command)
    parts.wait_for(process, lambda line: line.split()[:1] == ["at"])
    parts.wait_for(process, lambda line: line[:1] == " ")
    root.joinpath("sys/class/thermal/thermal_zone0/temp").write_text("84000\n")
    root.joinpath("sys/devices/platform/soc/soc:firmware/get_throttled").write_text("e0008\n")
    # From 9 J on over the end of the counter, at 10 J.
    root.joinpath("sys/class/powercap/intel-rapl:0/energy_uj").write_text("2500000\n")
    for path in root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"):
        path.write_text("600000\n")
    for _ in range(2):  # all of the second is after it
        parts.wait_for(process, lambda line: line[:1] == " ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    intervals = json.loads(out.read_text())["soaks"][0]["intervals"]
    first, last = intervals[0], intervals[-1]
    assert (first["conditions"]["temperature_c"], last["conditions"]["temperature_c"]) == (
        61.35,
        84,
    )
    assert first["conditions"]["governor"] == "powersave"
    assert not any("MHz" in text or "firmware" in text for text in first["slowed"])
    assert "600 MHz, it was 1500" in last["slowed"]
    assert "the firmware slows it down (get_throttled 0xe0008)" in last["slowed"]
    assert sum(part["energy"]["joules"] for part in intervals) == pytest.approx(3.5)


def test_a_soak_at_a_rate_carries_on_what_had_no_turn(tmp_path, capsys) -> None:
    asked = ("--soak", "0.6s", "--interval", "0.2s", "--rate", "100000")
    values = parts.bench(tmp_path / "o.json", *ONE, *asked)
    (soak,) = values["soaks"]
    assert soak["behind_s"] > 0
    medians = [part["p50_us"] for part in soak["intervals"] if part["p50_us"]]
    assert medians == sorted(medians)  # each interval begins with the queue of the one before it
    assert soak["intervals"][0]["energy"]["why"]


@given(TIMES)
def test_a_histogram_gives_the_upper_end_of_the_bucket(times) -> None:
    found = Histogram()
    for ns in times:
        found.add(ns)
    ordered = sorted(times)
    for one_in in (2, 10, 100):
        told = found.percentile_us(one_in)
        if len(times) < one_in:
            assert told is None
            continue
        true = ordered[len(times) - len(times) // one_in - 1] / 1000
        assert true <= told * (1 + 1e-9)
        assert told <= true * 2 ** (1 / PER_OCTAVE) * (1 + 1e-9)
    assert sum(count for _, count in found.buckets()) == found.count == len(times)
    assert found.max_ns == ordered[-1]
    assert found.sum_ns == sum(times)


@given(st.lists(st.floats(0.1, 1e9), min_size=1, max_size=2500))
def test_a_percentile_is_given_where_one_lies_beyond_it(times) -> None:
    found = spread(times)
    for value, one_in in ((found.p90_us, 10), (found.p99_us, 100), (found.p99_9_us, 1000)):
        assert (value is None) == (len(times) < one_in)
        if value is not None:
            assert sum(t >= value for t in times) >= len(times) // one_in
            assert sum(t < value for t in times) <= len(times) - len(times) // one_in
    assert found.max_us == max(times)
    assert math.isclose(found.mean_us, sum(times) / len(times))
    assert rounds(times).quietest_us == min(times)
    assert rounds(times).worst_us == max(times)


def test_jitter_is_from_one_to_the_next() -> None:
    assert spread([10.0, 10.0, 10.0]).jitter_us == 0.0
    assert spread([10.0, 14.0, 10.0]).jitter_us == 4.0
    assert spread([10.0, 10.0, 14.0]).jitter_us == 2.0


def test_no_interval_is_too_many(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--soak", "31d", "--interval", "10s", "--json", str(Path(tmp_path, "x"))])
    assert "make --interval longer" in capsys.readouterr().err
