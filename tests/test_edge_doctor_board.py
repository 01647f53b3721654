"""``talus doctor`` on the board: supply, warmth, memory, clock, cards, systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from doctor_parts import doctor, of, plant, program, site, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.doctor import Wanted, examine
from edge.doctor_clock import KernelClock, clock, known_time
from edge.doctor_diagnosis import CHECKS, STATES
from edge.doctor_root import Root
from edge.doctor_show import line_of

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
CARD = "sys/class/mmc_host/mmc0/mmc0:0001"
ZONE = "sys/class/thermal/thermal_zone0"
NOW_S = 1_800_000_000.0


@pytest.fixture
def look(tmp_path, capsys):
    """Ask for one check of the board below tmp_path/root."""

    def ask(check: str) -> list[dict]:
        words = ("--root", str(tmp_path / "root"), "--config", str(tmp_path / "gateway.toml"))
        return doctor(capsys, "--only", check, *words)[1]

    return ask


@pytest.mark.parametrize(
    ("said", "state", "text"),
    [
        ("0", "ok", "has held since"),
        ("50005", "fault", "under 4.63 V now"),
        ("50000", "warn", "has been under 4.63 V since"),
        ("4", "warn", "too hot"),
        ("80008", "warn", "too hot"),
        ("e0000", "ok", "has held"),
    ],
)
def test_the_supply_of_a_raspberry_pi(tmp_path, look, said, state, text) -> None:
    plant(tmp_path / "root", THROTTLED, f"{said}\n")
    if said == "80008":  # it was hot, and is
        assert int(said, 16) & 8
    found = of(look("power"), "power")
    assert (found["state"], found["value"]) == (state, float(int(said, 16)))
    assert text in found["text"]
    assert bool(found["fix"]) == (state != "ok")


def test_the_supply_by_vcgencmd_and_by_hwmon_and_where_nobody_tells(tmp_path, look) -> None:
    assert of(look("power"), "power")["state"] == "skipped"
    hwmon = plant(tmp_path / "root", "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1")
    plant(tmp_path / "root", "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    assert of(look("power"), "power")["state"] == "fault"
    hwmon.write_text("0")
    assert of(look("power"), "power")["state"] == "ok"
    program(tmp_path / "root", "vcgencmd", '[ "$1" = get_throttled ] && echo throttled=0x50005')
    assert "now" in of(look("power"), "power")["text"]
    program(tmp_path / "root", "vcgencmd", "echo VCHI initialization failed; exit 255")
    assert of(look("power"), "power")["state"] == "ok"  # hwmon tells still


@pytest.mark.parametrize(
    ("milli", "trip", "state"),
    [(45_000, 0, "ok"), (76_000, 0, "warn"), (86_000, 0, "fault"), (61_000, 70_000, "warn"),
     (71_000, 70_000, "fault"), (76_000, 110_000, "ok")],
)  # fmt: skip
def test_warmth_is_judged_by_the_trip_points_where_there_are(
    tmp_path, look, milli, trip, state
) -> None:
    tree(tmp_path / "root", **{f"{ZONE}/temp": f"{milli}\n", f"{ZONE}/type": "cpu-thermal\n"})
    if trip:
        plant(tmp_path / "root", f"{ZONE}/trip_point_0_type", "passive\n")
        plant(tmp_path / "root", f"{ZONE}/trip_point_0_temp", f"{trip}\n")
    found = of(look("temperature"), "temperature")
    assert (found["subject"], found["state"], found["unit"]) == ("cpu-thermal", state, "degC")
    assert found["value"] == milli / 1000


def test_memory_that_runs_out_and_programs_that_were_killed_for_it(tmp_path, look) -> None:
    root = tmp_path / "root"
    for left_kb, state in ((500_000, "ok"), (80_000, "warn"), (20_000, "fault")):
        plant(root, "proc/meminfo", f"MemTotal:  900000 kB\nMemAvailable:  {left_kb} kB\n")
        (found,) = look("memory")
        assert (found["state"], found["value"]) == (state, left_kb / 1000)
    plant(root, "proc/vmstat", "pgfault 7\noom_kill 3\n")
    assert "killed 3 programs" in of(look("memory"), "memory", "killed")["text"]


def said_of(root: Path, kernel: KernelClock | None, now_s: float = NOW_S) -> dict[str, tuple]:
    found = clock(Root(root), NOW_S - 86_400, lambda: now_s, lambda: kernel)
    return {d.subject: (d.state, d.text) for d in found}


def test_a_clock_before_its_own_files_is_wrong_whatever_the_kernel_says(tmp_path) -> None:
    exact = KernelClock(is_set=True, error_s=0.001)
    state, text = said_of(tmp_path, exact, 12.0)[""]
    assert state == "fault"
    assert "1970-01-01" in text
    assert said_of(tmp_path, exact, 5e9)[""][0] == "fault"
    assert said_of(tmp_path, exact)[""][0] == "ok"
    # A card that was written in another time zone is no reason.
    assert said_of(tmp_path, exact, NOW_S - 2 * 86_400 - 3600)[""][0] == "ok"


def test_a_clock_that_nothing_sets_and_a_chip_that_is_off(tmp_path) -> None:
    loose = KernelClock(is_set=False, error_s=16.0)
    state, text = said_of(tmp_path, loose)[""]
    assert (state, "without a clock chip" in text) == ("warn", True)
    plant(tmp_path, "sys/class/rtc/rtc0/since_epoch", f"{NOW_S + 4:.0f}\n")
    assert "clock chip" not in said_of(tmp_path, loose)[""][1]
    exact = KernelClock(is_set=True, error_s=0.001)
    assert said_of(tmp_path, exact)["rtc"][0] == "ok"
    plant(tmp_path, "sys/class/rtc/rtc0/since_epoch", "946684800\n")
    assert said_of(tmp_path, exact)["rtc"][0] == "warn"
    assert said_of(tmp_path, KernelClock(is_set=True, error_s=3.0))[""][0] == "warn"
    assert said_of(tmp_path, None)[""][0] == "unsure"


def test_the_kernel_is_asked_for_real(tmp_path, look) -> None:
    assert of(look("clock"), "clock")["state"] in {"ok", "warn", "unsure"}
    assert known_time(__file__, tmp_path / "absent") == Path(__file__).stat().st_mtime


@pytest.mark.parametrize(
    ("life", "spare", "state"),
    [("0x01 0x02", "0x01", "ok"), ("0x09 0x01", "0x01", "warn"), ("0x01 0x01", "0x02", "warn"),
     ("0x0B 0x01", "0x01", "fault"), ("0x01 0x01", "0x03", "fault"),
     ("0x00 0x00", "0x00", "skipped"),
     ("", "", "skipped"), ("nonsense", "x", "skipped")],
)  # fmt: skip
def test_wear_by_the_words_of_the_card(tmp_path, capsys, life, spare, state) -> None:
    root = tree(tmp_path / "root", **{f"{CARD}/name": "8GTF4R\n"})
    plant(root, f"{CARD}/life_time", f"{life}\n")
    plant(root, f"{CARD}/pre_eol_info", f"{spare}\n")
    words = ("--only", "storage", "--root", str(root), "--config", str(site(tmp_path)))
    assert of(doctor(capsys, *words)[1], "storage", "8GTF4R")["state"] == state


def test_errors_that_the_file_system_has_met(tmp_path, capsys) -> None:
    root = plant(tmp_path / "root", "sys/fs/ext4/mmcblk0p3/errors_count", "2\n").parents[4]
    words = ("--only", "storage", "--root", str(root), "--config", str(site(tmp_path)))
    code, found = doctor(capsys, *words)
    assert code == 1
    assert "met 2 errors" in of(found, "storage", "mmcblk0p3")["text"]
    plant(root, "sys/fs/ext4/mmcblk0p3/errors_count", "0\n")
    assert of(doctor(capsys, *words)[1], "storage", "mmcblk0p3")["state"] == "ok"


@pytest.fixture
def mounted(tmp_path):
    """A file system of 1 MB of its own, in a folder; may be mounted anew with other options."""
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("NOT TESTED: only root can mount")
    folder = tmp_path / "talus-data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_and_one_that_the_kernel_has_made_read_only(tmp_path, capsys, mounted) -> None:
    words = ("--only", "storage", "--root", str(tmp_path / "root"), "--config", str(site(tmp_path)))
    found = of(doctor(capsys, *words)[1], "storage", str(mounted))
    assert (found["state"], found["unit"]) == ("fault", "MB")
    assert found["text"] == "only 1 MB free"
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    found = of(doctor(capsys, *words)[1], "storage", str(mounted))
    assert (found["state"], found["gate"]) == ("fault", True)
    assert "read-only" in found["text"]


UNIT = """LoadState=loaded
ActiveState=active
SubState=running
Result=success
NRestarts=0
UnitFileState=enabled
StatusText=reading the ports
"""


@pytest.mark.parametrize(
    ("old", "new", "subject", "state", "text"),
    [
        ("", "", "systemd", "ok", "is active: reading the ports"),
        ("ActiveState=active", "ActiveState=failed", "systemd", "fault", "given talus.service up"),
        ("ActiveState=active", "ActiveState=inactive", "systemd", "fault", "is inactive"),
        ("reading the ports", "no progress: outbox", "systemd", "fault", "no progress: outbox"),
        ("NRestarts=0", "NRestarts=7", "restarts", "warn", "restarted 7 times"),
        ("enabled", "disabled", "start", "fault", "not started with the board"),
        ("=loaded", "=not-found", "systemd", "skipped", "not installed"),
    ],
)
def test_what_systemd_says_of_the_unit(tmp_path, capsys, old, new, subject, state, text) -> None:
    root = tmp_path / "root"
    plant(root, "run/systemd/system/mark", "")
    plant(root, "said", UNIT.replace(old, new) if old else UNIT)
    program(root, "systemctl", f'[ "$1 $2" = "show talus.service" ] && cat {root}/said')
    words = ("--only", "service", "--root", str(root), "--config", str(site(tmp_path)))
    _, found = doctor(capsys, *words)
    one = of(found, "service", subject) if subject else None
    assert (one["state"], text in one["text"]) == (state, True), one


def test_a_program_that_hangs_is_not_waited_for(tmp_path, look, monkeypatch) -> None:
    monkeypatch.setattr("edge.doctor_root.PROGRAM_S", 0.2)
    program(tmp_path / "root", "vcgencmd", "sleep 60")
    assert of(look("power"), "power")["state"] == "skipped"


KERNEL_FILES = (
    THROTTLED, f"{ZONE}/temp", f"{ZONE}/type", f"{ZONE}/trip_point_0_type",
    f"{ZONE}/trip_point_0_temp", f"{CARD}/life_time", f"{CARD}/pre_eol_info", f"{CARD}/name",
    "sys/fs/ext4/sda1/errors_count", "sys/class/rtc/rtc0/since_epoch", "proc/meminfo",
    "proc/vmstat", "proc/locks", "proc/uptime", "sys/class/hwmon/hwmon0/name",
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(KERNEL_FILES), st.binary(max_size=60)))
def test_whatever_the_kernel_says_each_check_gives_lines_and_none_breaks(tmp_path, said) -> None:
    config = tmp_path / "gateway.toml"
    if not config.exists():
        site(tmp_path)
        (tmp_path / "talus-data").mkdir()
        (tmp_path / "talus-data" / "lock").touch()
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name, data in said.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    checks = frozenset({"power", "temperature", "memory", "clock", "storage", "service"})
    found = [*examine(Wanted(config, Root(root), checks))]
    assert {d.check for d in found} == checks <= set(CHECKS)
    for diagnosis in found:
        line = line_of(diagnosis)
        assert "stumbled" not in line
        assert line.isprintable()
        assert diagnosis.state in STATES
        assert bool(diagnosis.fix) or diagnosis.state not in {"warn", "fault"}
