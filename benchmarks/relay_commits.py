"""What 1,000 telemetry messages a second cost in fsyncs, and whether an alarm waits for them.

  python benchmarks/relay_commits.py --json commits.json

An outbox and a relay in a process of their own, as the gateway's loop drives them: once with a
real Mosquitto that acknowledges, once with none, where all of it goes to disk. The kernel's count
is taken, by strace; an alarm twice a second is timed from `put` until it is on disk.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import machine, parse, write
from relay_drain import backlog_message
from relay_judge import percentile

from edge.fields import Mistakes, Table
from edge.message import ALARM, Message
from edge.outbox import Outbox
from edge.parse_mqtt import parse_mqtt
from edge.relay import Relay
from export.local_broker import Mosquitto, free_port

PER_SECOND = 1000
SECONDS, QUICK_SECONDS = 30.0, 6.0
ALARM_EVERY = 500
_BEGIN, _END = "measured from here", "and no longer"
_SYNCS = re.compile(r"\b(fsync|fdatasync|sync_file_range|syncfs)\(")


def load(folder: Path, port: int, seconds: float) -> dict[str, float]:
    """Put so many messages, each when it is due; how long alarms took."""
    outbox = Outbox(folder, 512 * 1024 * 1024)
    broker = Table({"host": "127.0.0.1", "port": port}, "mqtt", Mistakes("benchmark"))
    relay = Relay(parse_mqtt(broker), folder, "commits", outbox)
    relay.start()
    settle_s = time.monotonic() + 2.0
    while time.monotonic() < settle_s and not relay.health().connected:
        relay.pump()
        time.sleep(0.01)
    alarms_s: list[float] = []
    print(_BEGIN, file=sys.stderr, flush=True)
    began_s, count = time.monotonic(), round(seconds * PER_SECOND)
    for number in range(count):
        outbox.put([backlog_message(number)])
        if number % ALARM_EVERY == ALARM_EVERY - 1:
            asked_s = time.monotonic()
            outbox.put([Message("talus/commits/old/alarm", b"{}" * 500, ALARM, id=f"a-{number}-1")])
            alarms_s.append(time.monotonic() - asked_s)
        outbox.settle()
        relay.pump()
        late_s = time.monotonic() - began_s - number / PER_SECOND
        if late_s < 0:
            time.sleep(-late_s)
    took_s = time.monotonic() - began_s
    print(_END, file=sys.stderr, flush=True)
    relay.stop()
    outbox.close()
    return {
        "per_second": count / took_s,
        "alarm_on_disk_p99_ms": percentile(alarms_s, 0.99) * 1000,
        "alarms": len(alarms_s),
    }


def counted(folder: Path, port: int, seconds: float) -> dict[str, float]:
    """Do that under strace; with it, fsyncs a second beside those of the alarms."""
    trace = folder / "trace"
    strace = ["strace", "-f", "--seccomp-bpf", "-s", "40", "-o", str(trace),
              "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,write"]  # fmt: skip
    work = [sys.executable, __file__, "--load", str(folder / "data"), str(port), str(seconds)]
    (folder / "data").mkdir(parents=True)
    done = subprocess.run([*strace, *work], capture_output=True, text=True, check=True)
    text = trace.read_text(encoding="utf-8", errors="replace")
    inside, ended, _ = text.partition(_BEGIN)[2].partition(_END)
    if not ended:
        raise RuntimeError("strace has not seen the measurement begin and end")
    found: dict[str, float] = json.loads(done.stdout)
    found["fsyncs_per_s"] = (len(_SYNCS.findall(inside)) - found["alarms"]) / seconds
    return found


def run(folder: Path, seconds: float) -> dict[str, float]:
    """Measure with a broker and without; figures by name."""
    with Mosquitto(folder) as broker:
        there = counted(folder / "there", broker.port, seconds)
    away = counted(folder / "away", free_port(), seconds)
    for name, each in (("a broker that acknowledges", there), ("no broker", away)):
        print(f"{name}: {each['per_second']:.0f} messages a second, {each['fsyncs_per_s']:.1f} "
              f"fsyncs a second besides one for each of {each['alarms']:.0f} alarms; an alarm is "
              f"on disk in {each['alarm_on_disk_p99_ms']:.1f} ms (p99)")  # fmt: skip
    return {
        "commit_msgs_per_s": min(there["per_second"], away["per_second"]),
        "fsyncs_per_s_at_1000_msgs": there["fsyncs_per_s"],
        "fsyncs_per_s_at_1000_msgs_outage": away["fsyncs_per_s"],
        "alarm_on_disk_p99_ms_at_1000_msgs": there["alarm_on_disk_p99_ms"],
        "alarm_on_disk_p99_ms_at_1000_msgs_outage": away["alarm_on_disk_p99_ms"],
    }


def main() -> int:
    """Run it from the command line."""
    args = parse(__doc__)
    if shutil.which("strace") is None:
        print("not measured: no strace here (apt install strace)", file=sys.stderr)
        return 0
    print(machine())
    with tempfile.TemporaryDirectory(prefix="relay-commits-") as folder:
        write(run(Path(folder), QUICK_SECONDS if args.quick else SECONDS), args.json)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        where, port_text, seconds_text = sys.argv[2:]
        print(json.dumps(load(Path(where), int(port_text), float(seconds_text))))
    else:
        raise SystemExit(main())
