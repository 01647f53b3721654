"""`talus probe` as a technician types it, on devices that are understood at one baud rate only."""

from __future__ import annotations

import json
import re
import struct
import threading
import time
import tomllib
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from random import Random

import pytest
from gnss_rows import epoch, row_at
from uart_pty import UartPty

from edge.__main__ import main
from edge.config import load_config
from edge.heard import listen
from edge.probe import BAUDS
from edge.probe_show import device_lines
from export.demo import write_config
from export.local_broker import free_port
from firmware_bridge.devices import present
from firmware_bridge.framing import ACK_REQ, Frame, FrameDecoder
from firmware_bridge.messages import HELLO
from firmware_bridge.modbus_frame import Request, crc16
from firmware_bridge.port import Port
from firmware_bridge.sim_instruments import LinePty, PtyNode
from firmware_bridge.sim_modbus import BusPty, SimulatedSlave
from firmware_bridge.sim_modbus import SimulatedBus as ModbusBus
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sim_pty import Pty
from firmware_bridge.sim_rows import CHANNELS, creep
from firmware_bridge.sim_sdi12 import Sdi12Pty, SimulatedSensor
from firmware_bridge.sim_sdi12 import SimulatedBus as Sdi12Bus


def logger_lines() -> Iterator[bytes]:
    for i in range(100_000):
        minute, second = divmod(i, 60)
        yield f"2031-10-25 17:{minute % 60:02d}:{second:02d},{i},{i / 8},NAN\r\n".encode()


def probed(capsys, *arguments: str, code: int = 0) -> dict:
    """Run the command with --json."""
    assert main(["probe", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def config_with(tmp_path: Path, stanza: str) -> Path:
    """The demo's gateway.toml with what was found as a port more."""
    path = write_config(tmp_path, str(tmp_path / "absent"), free_port())
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[[station]]", stanza + "\n[[station]]", 1), encoding="utf-8")
    return path


def reads(tmp_path: Path, stanza: str) -> int:
    """How many readings come where the stanza is pasted into a gateway's configuration."""
    port = load_config(config_with(tmp_path, stanza)).ports[-1]
    ((_, heard),) = listen([port], 10.0)
    assert heard.opened, heard.reason
    return heard.readings


def test_lines_at_a_baud_rate_that_is_not_the_first(tmp_path: Path, capsys) -> None:
    with UartPty(19_200, logger_lines()) as device:
        found = probed(capsys, device.device, "--listen", "0.4")
        assert (found["protocol"], found["baud"], found["frame"]) == ("lines", 19_200, "8N1")
        assert [each["baud"] for each in found["heard"]] == [9600, 115_200, 38_400, 19_200]
        assert device.written == {}  # who speaks is not asked
        assert reads(tmp_path, found["toml"]) > 0


def test_a_receiver_at_its_first_baud_rate(tmp_path: Path, capsys) -> None:
    with UartPty(38_400, (epoch(row_at(i)) for i in range(10_000)), interval_s=0.3) as device:
        found = probed(capsys, device.device, "--listen", "0.5")
        assert (found["protocol"], found["baud"]) == ("gnss", 38_400)
        assert "best fix: RTK fixed" in found["seen"]
        assert device.written == {}
        assert reads(tmp_path, found["toml"]) > 0


def test_a_silent_node_is_asked_who_it_is(capsys) -> None:
    node = SimulatedNode(describe(CHANNELS))
    with UartPty(57_600, answer=node.receive) as device:
        found = probed(capsys, device.device, "--listen", "0.05")
    assert (found["protocol"], found["baud"]) == ("tw1", 57_600)
    assert found["whole"]
    assert any("channel tilt: tilt in mrad, -260..260" in fact for fact in found["seen"])


def test_a_node_that_speaks_is_read_with_what_was_printed(tmp_path: Path, capsys) -> None:
    with PtyNode(SimulatedNode(describe(CHANNELS)), creep(10_000), interval_s=0.05) as node:
        main(["probe", node.device, "--protocol", "tw1", "--baud", "115200", "--listen", "0.1"])
        said = capsys.readouterr()
        assert said.out.startswith("# a Talus node (TW1) at 115200 baud 8N1\n")
        assert "asking for tw1" in said.err
        assert reads(tmp_path, said.out) > 0  # comments and all


def test_what_a_device_calls_itself_breaks_neither_the_toml_nor_the_terminal(capsys) -> None:
    said = {b"?!": b"0\r\n", b"0I!": b"014EVIL\x1b[2J\x07ABCDEF1.0\r\n"}
    with UartPty(9600, answer=lambda asked: said.get(asked, b"")) as device:
        arguments = ("--quick", "--listen", "0.05", "--baud", "9600", "--frame", "8N1")
        found = probed(capsys, device.device, *arguments)
    assert "address 0: EVIL?[2J ?ABCDE F1.0 (SDI-12 1.4)" in found["seen"]
    assert tomllib.loads(found["toml"])["port"][0]["sdi12"]["sensor"][0]["address"] == "0"


def slaves() -> list[SimulatedSlave]:
    words = struct.unpack(">4H", struct.pack(">2f", 20.25, -3.5))
    swapped = [words[1], words[0], words[3], words[2]]
    return [
        SimulatedSlave(2, holding=dict(enumerate(swapped + [0] * 6))),
        SimulatedSlave(3, inputs={256: 5}),
    ]


def test_modbus_devices_that_answer_at_one_speed_only(capsys) -> None:
    bus = ModbusBus(slaves())

    def answer(data: bytes) -> bytes:
        return b"".join(back for _, back in bus.receive(data, 0.0))

    with UartPty(19_200, answer=answer) as device:
        arguments = ("--protocol", "modbus", "--addresses", "1-3")
        found = probed(capsys, device.device, *arguments)
    assert (found["protocol"], found["baud"]) == ("modbus", 19_200)
    assert any("as float32 CDAB: 20.25, -3.5" in fact for fact in found["seen"])
    assert any(re.match("address 3, function 4: registers 256", f) for f in found["seen"])


def test_modbus_devices_are_read_with_what_was_printed(tmp_path: Path, capsys) -> None:
    with BusPty(ModbusBus(slaves(), echo=True), time.monotonic) as device:
        found = probed(capsys, device.device, "--protocol", "modbus", "--addresses", "2,3")
        stanza = tomllib.loads(found["toml"])["port"][0]
        assert [each["address"] for each in stanza["modbus"]["device"]] == [2, 3]
        assert reads(tmp_path, found["toml"]) > 0


def test_a_line_with_a_master_is_not_asked(capsys) -> None:
    with UartPty(9600, repeat(Request(7, 3, 100, 2).encode())) as device:
        found = probed(capsys, device.device, "--baud", "9600", "--listen", "0.5")
        assert device.written == {}
    assert "a Modbus master asks here already, for addresses 7" in found["seen"]
    assert found["toml"] is None


def test_who_speaks_and_is_not_understood_is_not_asked(capsys) -> None:
    random = Random(2)
    with UartPty(9600, iter(lambda: random.randbytes(40), b""), interval_s=0.02) as device:
        arguments = ("--baud", "9600", "--listen", "0.5")
        assert main(["probe", device.device, *arguments]) == 1
        assert device.written == {}
    assert "nothing was asked, as a bus may have a master" in capsys.readouterr().err


@pytest.mark.parametrize("addresses", ["0", "5", "03"])
def test_sdi12_sensors_alone_and_several(tmp_path: Path, capsys, addresses: str) -> None:
    bus = Sdi12Bus([SimulatedSensor(each, repeat((1.5, 2.5)), wait_s=0) for each in addresses])
    with Sdi12Pty(bus) as device:
        arguments = ("--quick", "--listen", "0.05", "--baud", "9600", "--frame", "8N1")
        found = probed(capsys, device.device, *arguments)
        assert found["protocol"] == "sdi12"
        stanza = tomllib.loads(found["toml"])["port"][0]
        assert [each["address"] for each in stanza["sdi12"]["sensor"]] == list(addresses)
        assert f"address {addresses[0]}: TALUS SIM120 1.0 (SDI-12 1.4)" in found["seen"]
        assert reads(tmp_path, found["toml"]) > 0


def test_a_silent_line_is_asked_and_nothing_is_changed_on_it(capsys) -> None:
    with UartPty(300) as device:
        began_s = time.monotonic()
        arguments = ("--listen", "0.05", "--addresses", "1-2", "--seconds", "30")
        assert main(["probe", device.device, *arguments]) == 1
        assert time.monotonic() - began_s < 60
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing speaks, and nothing answers" in said.err
    assert "is the sensor powered" in said.err
    assert set(device.written) <= set(BAUDS)
    for data in device.written.values():
        only_questions(data)


def only_questions(data: bytes) -> None:
    """Fail unless it is HELLO, `?!`, `a!`, `aI!` and Modbus functions 3 and 4, and nothing more."""
    items = FrameDecoder().receive(data)
    hellos = [item for item in items if isinstance(item, Frame)]
    assert all((item.type, item.flags) == (HELLO, ACK_REQ) for item in hellos)
    rest = re.sub(rb"\x00[^\x00]{1,20}\x00", b"", data, count=len(hellos))
    rest = re.sub(rb"[0-9A-Za-z?]I?!", b"", rest)
    while rest:
        assert rest[1] in (3, 4), rest
        assert crc16(rest[:6]) == int.from_bytes(rest[6:8], "little")
        rest = rest[8:]


def test_the_time_is_kept(capsys) -> None:
    with UartPty(300) as device:
        began_s = time.monotonic()
        found = probed(capsys, device.device, "--seconds", "1", code=1)
        assert time.monotonic() - began_s < 10
    assert found["ended_early"]
    assert found["protocol"] is None


def test_text_that_is_no_numbers_is_shown(capsys) -> None:
    with LinePty(repeat("waiting for the modem"), interval_s=0.02) as device:
        arguments = ("--baud", "9600", "--protocol", "lines", "--listen", "0.3")
        assert main(["probe", device.device, *arguments]) == 1
    assert "text at 9600 baud 8N1: b'waiting for the modem" in capsys.readouterr().err


def test_a_port_that_is_held_absent_or_none_says_so(tmp_path: Path, capsys) -> None:
    pty = Pty()
    holder = Port(pty.path)
    holder.poll(0)
    assert main(["probe", pty.path]) == 1
    assert "held by another process" in capsys.readouterr().err
    holder.close()
    pty.close()
    assert main(["probe", str(tmp_path / "absent")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert main(["probe", "usb:NO-SUCH"]) == 1
    assert "is it plugged in?" in capsys.readouterr().err


def test_a_device_that_is_pulled_meanwhile_says_so(capsys) -> None:
    pty = Pty()
    timer = threading.Timer(0.3, pty.close)
    timer.start()
    assert main(["probe", pty.path]) == 1
    timer.join()
    assert "vanished" in capsys.readouterr().err


def test_what_is_here_is_listed_by_stable_names(capsys) -> None:
    code = main(["probe", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert [(each["device"], each["description"]) for each in listed] == present()
    assert code == (0 if listed else 1)
    lines = device_lines([("/dev/serial/by-id/usb-FTDI_A1-if00", "FT232R"), ("usb:B2", "n/a")])
    assert lines[0] == "/dev/serial/by-id/usb-FTDI_A1-if00  FT232R"
    assert lines[1] == "usb:B2"
    assert lines[-1] == "next: talus probe /dev/serial/by-id/usb-FTDI_A1-if00"
    assert "is the adapter plugged in?" in device_lines([])[0]


@pytest.mark.parametrize(
    "wrong",
    [("--baud", "fast"), ("--baud", "9"), ("--addresses", "0-5"), ("--addresses", "9-3"),
     ("--listen", "0"), ("--protocol", "hart"), ("--frame", "9N1")],
)  # fmt: skip
def test_wrong_usage(wrong: tuple[str, str], capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["probe", "/dev/null", *wrong])
    assert caught.value.code == 2


def test_help_shows_examples(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["probe", "--help"])
    assert "talus probe /dev/ttyUSB0 --baud 9600 --listen 70" in capsys.readouterr().out
