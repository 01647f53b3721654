"""`talus watch` and `talus subscribe` as processes, at a real broker."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import zlib

import mqtt_parts as parts
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.__main__ import main
from export.demo import make_node, write_config
from export.local_broker import free_port, mosquitto_path

PATIENCE_S = 60.0

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "edge", *map(str, words)]


def run(*words: object, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, check=False, timeout=PATIENCE_S, **more
    )


class Say:
    """A publisher whose messages are at the broker when the call returns."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "sayer")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __call__(self, topic: str, values: object, *, retain: bool = False) -> None:
        payload = values if isinstance(values, bytes) else json.dumps(values)
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def say(broker):
    saying = Say(broker.port)
    yield saying
    saying.close()


class Running:
    """One of the commands, and the lines it has written."""

    def __init__(self, *words: object, **more) -> None:
        self.process = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
        )
        self.out = self.err = b""

    def until(self, what) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what(self):
            assert time.monotonic() < end, (self.out, self.err)
            streams = [self.process.stdout, self.process.stderr]
            for stream in select.select(streams, [], [], 0.1)[0]:
                data = os.read(stream.fileno(), 65536)
                if stream is self.process.stdout:
                    self.out += data
                else:
                    self.err += data

    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def at(broker) -> str:
    return f"127.0.0.1:{broker.port}"


def test_subscribe_gives_one_line_a_message_and_counts(broker, say) -> None:
    say("talus/demo/status", {"online": True}, retain=True)
    done = run("subscribe", "--broker", at(broker), "--json", "--count", 1)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "topic": "talus/demo/status", "retained": True, "payload": {"online": True},
    }  # fmt: skip
    running = Running("subscribe", "--broker", at(broker), "--json", "--filter", "+/+/alarm")
    running.until(lambda r: b"connected" in r.err)
    sent = [{"id": "a\nb"}, 1, b"\xff\xfe", b"<alert>\n</alert>", zlib.compress(b'{"rows":[]}')]

    def settled(r) -> bool:  # the subscription may be a moment behind the connection
        if len(r.lines()) == 0:
            say("talus/x/y/alarm", "first")
        return len(r.lines()) >= 1

    running.until(settled)
    for each in sent:
        say("talus/demo/slope/alarm", each)
    say("talus/demo/slope/telemetry", {"not": "asked for"})
    running.until(lambda r: r.out.count(b"talus/demo/slope") == len(sent))
    lines = [json.loads(line) for line in running.lines() if "talus/demo" in line]
    assert [line["payload"] for line in lines] == [
        {"id": "a\nb"}, 1, None, "<alert>\n</alert>", {"rows": []},
    ]  # fmt: skip
    assert lines[2]["bytes"] == 2
    assert running.end() == 0


def test_a_session_that_is_kept_misses_nothing_and_gives_nothing_twice(broker, say) -> None:
    words = ("subscribe", "--broker", at(broker), "--client-id", "archive", "--filter", "+/+/alarm")
    first = run(*words, "--seconds", 1)
    assert first.returncode == 0, first.stderr
    for number in range(10):
        say("talus/demo/slope/alarm", {"n": number})
    got: list[str] = []
    for count in (3, 4, 3):
        done = run(*words, "--count", count, "--seconds", 30)
        assert done.returncode == 0, done.stderr
        got += done.stdout.splitlines()
    assert got == [f'talus/demo/slope/alarm {{"n":{n}}}' for n in range(10)]
    none = run(*words, "--count", 1, "--seconds", 1)
    assert (none.returncode, none.stdout) == (1, "")


def test_the_broker_may_go_and_return(broker, say) -> None:
    say("talus/demo/slope/state", {"level": 2}, retain=True)
    running = Running("watch", "--broker", at(broker))
    running.until(lambda r: b"demo/slope level 2 caution" in r.out)
    say.close()
    broker.stop()
    running.until(lambda r: b"no connection" in r.err)
    broker.start()
    again = Say(broker.port)
    again("talus/demo/slope/state", {"level": 4}, retain=True)
    running.until(lambda r: b"demo/slope level 4 alarm" in r.out)
    again.close()
    assert running.end() == 0
    assert all(line[4] == "-" and " demo/" in line for line in running.lines())


def test_on_a_terminal_the_screen_is_drawn_and_left_as_it_was(broker, say) -> None:
    say("talus/demo/slope/state", {"level": 3, "latched": True}, retain=True)
    say("talus/demo/status", {"online": False}, retain=True)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command("watch", "--broker", at(broker)), stdout=slave, stderr=slave, stdin=slave
    )
    os.close(slave)
    shown = b""
    end = time.monotonic() + PATIENCE_S
    while not (b"3 warning" in shown and b"OFFLINE" in shown and b"latched" in shown):
        assert time.monotonic() < end, shown
        if select.select([master], [], [], 0.1)[0]:
            shown += os.read(master, 65536)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # its side is closed
            break
        if not data:
            break
        shown += data
    assert process.wait(PATIENCE_S) == 0
    assert shown.startswith(b"\x1b[?1049h")
    assert shown.rstrip().endswith(b"\x1b[?1049l")
    os.close(master)


def test_tls_with_the_room_of_the_reference_broker(tmp_path) -> None:
    with parts.ReferenceBroker(tmp_path / "broker") as broker:
        room = broker.out / "room"
        tls = ("--ca", room / "ca.crt", "--cert", room / "room.crt", "--key", room / "room.key")
        where = ("--broker", f"localhost:{broker.port}")
        done = run("watch", *where, *tls, "--seconds", 2)
        assert done.returncode == 0, done.stderr
        assert "connected to localhost" in done.stderr
        (room / "room.key").chmod(0o644)
        done = run("watch", *where, *tls, "--seconds", 2)
        assert done.returncode == 1
        assert "chmod 600" in done.stderr
        (room / "room.key").chmod(0o600)
        done = run("watch", *where, "--seconds", 2)  # plain, at a port that wants TLS
        assert (done.returncode, "no connection" in done.stderr) == (1, True), done.stderr


def test_what_cannot_work_says_why(broker, tmp_path, capsys) -> None:
    port = free_port()
    done = run("watch", "--broker", f"127.0.0.1:{port}", "--seconds", 1)
    assert done.returncode == 1
    assert f"no connection to 127.0.0.1:{port}" in done.stderr
    assert main(["subscribe"]) == 2
    assert "either --config" in capsys.readouterr().err
    assert main(["subscribe", "--broker", "h", "--client-id", "talus-demo"]) == 2
    assert "throw one out" in capsys.readouterr().err
    assert main(["watch", "--broker", "h", "--cert", "a.crt"]) == 1
    assert "go together" in capsys.readouterr().err
    for wrong in (
        ["--broker", "h:0"], ["--broker", "h:x"], ["--broker", ""], ["--broker", "a/b"],
        ["--broker", "h", "--topic", "a/#"], ["--broker", "h", "--seconds", "0"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(["watch", *wrong])
        assert ended.value.code == 2, wrong
    for wrong in ("a/#/b", "a+", "#a"):
        with pytest.raises(SystemExit):
            main(["subscribe", "--broker", "h", "--filter", wrong])
    with pytest.raises(SystemExit) as ended:
        main(["subscribe", "--help"])
    assert ended.value.code == 0
    assert "--client-id archive" in capsys.readouterr().out


def test_a_reader_that_has_enough_ends_it(broker, say) -> None:
    for number in range(50):
        say(f"talus/demo/s{number}/state", {"level": 1, "pad": "x" * 4000}, retain=True)
    line = f"{' '.join(command('subscribe', '--broker', at(broker)))} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_gateway_is_seen_with_its_links_and_levels(tmp_path, broker, talus) -> None:
    node = make_node(1500.0)
    config = write_config(tmp_path, node.device, broker.port)
    talus(config)
    watching = Running("watch", "--config", config)
    with node:
        watching.until(
            lambda r: (
                b"demo is online" in r.out
                and b"port node: opened" in r.out
                and b"demo/slope level 4 alarm: level rose to 4" in r.out
            )
        )
    watching.until(lambda r: b"port node: closed" in r.out or b"port node: unavail" in r.out)
    assert watching.end() == 0
