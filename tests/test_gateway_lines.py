"""A logger that sends lines, with every kind of bad line among the good ones."""

from __future__ import annotations

from pathlib import Path

from export.demo import write_config
from export.slope import CHANNELS, generate
from firmware_bridge.simulator import LinePty

LINES = """\
max_skew_s = 0

[port.lines]
delimiter = ","
column_count = 10
time_column = 0
time_format = "epoch_ms"
record_column = 1
columns = { crack_1 = 2, crack_2 = 3, tilt_x = 4, tilt_y = 5, pore_pressure = 6, rain = 7, \
soil_moisture = 8, air_temperature = 9 }
"""


def config_of(tmp_path: Path, device: str, port: int) -> Path:
    path = write_config(tmp_path, device, port)
    text = path.read_text(encoding="utf-8")
    start, end = text.index('protocol = "tw1"'), text.index("[[station]]")
    text = text[:start] + 'protocol = "lines"\n' + LINES + "\n" + text[end:]
    path.write_text(text, encoding="utf-8")
    return path


def good_lines(days: float) -> list[str]:
    slope = generate(days, seed=7, failure_day=10.0)
    assert len(CHANNELS) == slope.values.shape[1]
    return [
        f"{time_ms},{i}," + ",".join(f"{v:.3f}" for v in row)
        for i, (time_ms, row) in enumerate(zip(slope.time_ms, slope.values, strict=True))
    ]


def damaged(line: str, record: int) -> list[tuple[str, str]]:
    """Bad lines made of a good one, and the reason each must be given."""
    time_ms, _, *values = line.split(",")

    def row(time: object, number: int, cells: list[str]) -> str:
        return ",".join([str(time), str(number), *cells])

    n = record
    return [
        (row(time_ms, n, values[:-1]), "columns"),
        (row(time_ms, n, [*values, "7"]), "columns"),
        (line + line, "columns"),
        (row("yesterday", n, values), "time"),
        (row(0, n + 1, values), "time_range"),  # 1970
        (row(4_102_444_800_000, n + 2, values), "time_range"),  # 2100
        (row(int(time_ms) - 90 * 86_400_000, n + 3, values), "time_backwards"),
        (row(int(time_ms) + 400 * 86_400_000, n + 4, values), "time_jump"),
        (row(time_ms, n + 5, ["NAN"] * 8), "empty"),
        ("\x07\x1b[2J\u00e9" + line, "encoding"),
        ("9" * 3000, "too_long"),
    ]


def test_every_bad_line_is_counted_under_its_reason(tmp_path, broker, room, talus) -> None:
    lines = good_lines(9.9)
    bad = damaged(lines[200], 100_000)
    sent = lines[:200] + [line for line, _ in bad] + lines[200:]
    wanted: dict[str, int] = {}
    for _, reason in bad:
        wanted[reason] = wanted.get(reason, 0) + 1
    logger = LinePty(sent, interval_s=0.0005)
    gateway = talus(config_of(tmp_path, logger.device, broker.port))
    with logger:
        # A pty that closes takes with it what was not read: the last lines are good ones.
        room.wait(lambda: 4 in room.levels() and room.rows() == len(lines))
        room.wait(lambda: logger.rows_sent == len(sent))
    totals = gateway.stop()
    assert totals["readings_in"] == len(sent)
    rejected = totals["rejected"]
    assert totals["published"] + sum(rejected.values()) == len(sent)
    # The record numbers of the bad lines run ahead; those of the good ones then look like a
    # logger that started anew: counted, and nothing of them is refused.
    assert rejected == wanted
    assert totals["published"] == len(lines)


def test_a_value_that_is_no_number_costs_that_value_alone(tmp_path, broker, room, talus) -> None:
    lines = good_lines(3.0)
    cells = lines[100].split(",")
    lines[100] = ",".join([*cells[:2], "abc", "1e999", "", *cells[5:]])
    logger = LinePty(lines, interval_s=0.0005)
    gateway = talus(config_of(tmp_path, logger.device, broker.port))
    with logger:
        room.wait(lambda: room.rows() == len(lines))
    assert gateway.stop()["rejected"] == {}
    rows = [row for message in room.of("telemetry") for row in message["rows"]]
    assert rows[100][2:5] == [None, None, None]
    assert None not in rows[100][5:]
    room.wait(lambda: room.of("health") and room.of("health")[-1]["accounts"]["published"] > 400)
    counted = room.of("health")[-1]["ports"]["node"]["values_rejected"]
    assert counted == {"text": 1, "inf": 1, "missing": 1}


def test_garbage_on_the_line_does_not_stop_the_gateway(tmp_path, broker, room, talus) -> None:
    noise = [bytes(range(1, 256)).decode("latin-1").replace("\n", "").replace("\r", "")] * 5
    lines = good_lines(2.0)
    logger = LinePty([*noise, *lines[:100], *noise, *lines[100:]], interval_s=0.0005)
    gateway = talus(config_of(tmp_path, logger.device, broker.port))
    with logger:
        room.wait(lambda: room.rows() == len(lines))
    totals = gateway.stop()
    assert totals["readings_in"] == totals["published"] + sum(totals["rejected"].values())
    assert sum(totals["rejected"].values()) >= 9


def test_a_line_that_says_nothing_we_understand_is_told_in_the_log(
    tmp_path, broker, room, talus
) -> None:
    noise = ["$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"] * 400
    logger = LinePty(noise, interval_s=0.0005)
    gateway = talus(config_of(tmp_path, logger.device, broker.port))
    with logger:
        gateway.wait_log("bytes come, but no reading")
        room.wait(lambda: any(refused(health) > 200 for health in room.of("health")))
    assert gateway.stop()["rejected"]["columns"] > 200


def refused(health) -> int:
    return health["accounts"]["rejected"].get("columns", 0)
