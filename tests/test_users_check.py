"""``talus check`` as a technician meets it: cables, brokers, certificates, files, no runtime."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tty
from pathlib import Path
from typing import Self

import numpy as np
import paho
import pytest
import serial

import edge
import firmware_bridge
from edge.__main__ import main
from export.demo import write_config
from export.local_broker import Mosquitto, free_port, mosquitto_path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_config(tmp_path, str(tmp_path / "absent"), free_port())


def replace(path: Path, *pairs: tuple[str, str]) -> Path:
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path


def findings(capsys, config: Path, *arguments: str) -> dict[str, str]:
    """Run the command; gives its lines by path, with their mark."""
    main(["check", "--config", str(config), *arguments])
    lines = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    return {line[5:].partition(": ")[0]: line[:5] + line[5:].partition(": ")[2] for line in lines}


class Line:
    """A pty that says the same thing over and over."""

    def __init__(self, said: bytes) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.device = os.ttyname(self.slave)
        self._end = threading.Event()
        os.set_blocking(self.master, False)
        self._thread = threading.Thread(target=self._speak, args=(said,))

    def _speak(self, said: bytes) -> None:
        while not self._end.wait(0.02):
            try:
                os.write(self.master, said)
            except BlockingIOError:
                continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        os.close(self.master)
        os.close(self.slave)


def test_a_line_that_speaks_something_else_is_a_failure_with_what_it_said(tmp_path, capsys) -> None:
    with Line(b"$GPGGA,123519,4807.038,N*47\r\n") as line:
        config = write_config(tmp_path, line.device, free_port())
        found = findings(capsys, config, "--listen", "1")["port[0].device"]
    assert found.startswith("FAIL ")
    assert "none is understood (they begin b'$GPGGA" in found
    assert "right cable, baud = 115200, and protocol = 'tw1'?" in found


def test_a_silent_line_is_for_a_person_to_judge(tmp_path, capsys) -> None:
    with Line(b"") as line:
        config = write_config(tmp_path, line.device, free_port())
        found = findings(capsys, config, "--listen", "0.3")["port[0].device"]
    assert found.startswith("??   ")
    assert "nothing came in 0.3 s: is the sensor powered" in found


def test_a_line_with_a_sensor_says_when_its_reading_came(tmp_path, capsys) -> None:
    with Line(b"7,1.5\r\n") as line:
        config = write_config(tmp_path, line.device, free_port())
        names = "crack_1 crack_2 tilt_x tilt_y pore_pressure rain soil_moisture air_temperature"
        columns = ", ".join(f"{name} = {i + 1}" for i, name in enumerate(names.split()))
        table = f"[port.lines]\ncolumn_count = 9\ncolumns = {{ {columns} }}\n\n[[station]]"
        replace(config, ('protocol = "tw1"', 'protocol = "lines"'), ("[[station]]", table))
        wrong = findings(capsys, config, "--listen", "1")["port[0].device"]
        replace(config, ("column_count = 9", "column_count = 2"), (columns, "crack_1 = 1"))
        for i, name in enumerate(names.split()):
            if i:
                replace(config, (f'name = "{name}"', f'name = "{name}"\ncolumn = "crack_1"'))
        right = findings(capsys, config)["port[0].device"]
    assert wrong.startswith("FAIL ")
    assert "none is understood" in wrong
    assert right.startswith("ok   ")
    assert "a reading came after" in right


def test_what_is_armed_is_said(site, capsys) -> None:
    assert (
        "armed: velocity, gru, pca; in shadow: autoencoder"
        in findings(capsys, site)["station[0].bundle"]
    )


def test_a_bundle_that_is_not_there(site, capsys) -> None:
    replace(site, ('bundle = "bundle"', 'bundle = "north"'))
    found = findings(capsys, site)["station[0].bundle"]
    assert "north/manifest.json: there is no such bundle: copy it here, or make one" in found


def test_a_station_without_a_bundle(site, capsys) -> None:
    replace(site, ('bundle = "bundle"', 'bundle = ""'))
    assert "nothing is watched" in findings(capsys, site)["station[0].bundle"]


def test_a_precision_that_nothing_here_offers(site, capsys) -> None:
    replace(site, ("[mqtt]", '[runtime]\nprefer = ["onnxruntime"]\nprecision = "int8"\n\n[mqtt]'))
    found = findings(capsys, site)["station[0].bundle"]
    assert "precision 'int8' fit none of what the bundle offers" in found


@pytest.mark.parametrize(
    ("old", "new", "path", "wanted"),
    [
        ('host = "127.0.0.1"', 'host = ""', "mqtt.host", "a host name or address alone"),
        ('host = "127.0.0.1"', 'host = "mqtt://b"', "mqtt.host", "a host name or address alone"),
        ("[mqtt]", '[mqtt]\npassword_file = "pw"', "mqtt.username", "a password_file needs one"),
        ("[mqtt]", '[mqtt]\nca_file = "ca.crt"', "mqtt.ca_file, cert_file, key_file", "ca.crt"),
        ("[gateway]", '[gateway]\ncapture = "no/raw"', "gateway.capture", "no such folder; make"),
        ("[[port]]", "[port]", "port", "write [[port]] in place of [port]"),
        ('"crack_width"', '"crack_with"', "station[0].channel[0].quantity", "mean 'crack_width'?"),
        ('unit = "mm"', 'unit = "MM"', "station[0].channel[0].unit", "did you mean 'mm'?"),
        ('"tw1"', '"lines"', "port[0].lines", "needs this table: column_count, columns"),
    ],
)
def test_mistakes_are_named_once_with_what_to_do(site, capsys, old, new, path, wanted) -> None:
    replace(site, (old, new))
    main(["check", "--config", str(site)])
    lines = [line for line in capsys.readouterr().out.splitlines() if f" {path}: " in line]
    assert len(lines) == 1
    assert lines[0].startswith("FAIL ")
    assert wanted in lines[0]


def test_files_that_windows_wrote(site, capsys) -> None:
    content = site.read_bytes()
    site.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    assert findings(capsys, site)[str(site)] == "ok   1 port, 1 station"
    site.write_bytes(content.replace(b"# Paths", b"# M\xfcller").replace(b'"demo"', b'"d\xe9mo"'))
    assert "is not UTF-8: save the file as UTF-8" in findings(capsys, site)[str(site)]


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(mosquitto_path() is None, reason="NOT TESTED: mosquitto is not installed")
def test_certificates(tmp_path, capsys, site) -> None:
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for name, subject in (("ca", "/CN=ours"), ("other", "/CN=theirs")):
        openssl(tmp_path, *new, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.crt")
    (tmp_path / "san").write_text("subjectAltName=DNS:localhost\n", encoding="utf-8")
    for name in ("localhost", "gateway"):
        subject = f"/CN={name}"
        openssl(tmp_path, "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl(tmp_path, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey",
                "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san",
                "-out", f"{name}.crt")  # fmt: skip
    folder = tmp_path / "broker"
    folder.mkdir()
    settings = (
        f"allow_anonymous true\nuser root\nrequire_certificate true\ncafile {tmp_path}/ca.crt\n"
        f"certfile {tmp_path}/localhost.crt\nkeyfile {tmp_path}/localhost.key"
    )
    text = site.read_text(encoding="utf-8")

    def said(host: str, ca: str, cert: str, port: int) -> dict[str, str]:
        table = f'[mqtt]\nhost = "{host}"\nport = {port}\n'
        table += f'ca_file = "{ca}.crt"\n' if ca else ""
        table += f'cert_file = "{cert}.crt"\nkey_file = "{cert}.key"\n' if cert else ""
        begin, end = text.index("[mqtt]"), text.index("[[port]]")
        site.write_text(text[:begin] + table + text[end:], encoding="utf-8")
        return findings(capsys, site)

    with Mosquitto(folder, settings=settings) as broker:
        assert (
            "accepts this gateway (TLS)" in said("localhost", "ca", "gateway", broker.port)["mqtt"]
        )
        wrong = said("localhost", "other", "gateway", broker.port)["mqtt.ca_file"]
        assert "the broker's certificate: " in wrong
        assert "not valid for" in said("127.0.0.1", "ca", "gateway", broker.port)["mqtt.ca_file"]
        assert (
            "signed by a CA that it knows" in said("localhost", "ca", "other", broker.port)["mqtt"]
        )
        assert "does it want a certificate?" in said("localhost", "ca", "", broker.port)["mqtt"]
        assert "does this port want TLS?" in said("localhost", "", "", broker.port)["mqtt"]


def test_without_any_runtime_check_replay_and_bench_say_so(site, tmp_path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for module in (np, paho, serial, edge, firmware_bridge):
        for folder in Path(next(iter(module.__path__))).parent.glob(f"{module.__name__}*"):
            (packages / folder.name).symlink_to(folder)
    history = site.with_name("history.csv")
    history.write_text("time,crack_1\n2024-01-01T00:00,1\n", encoding="utf-8")
    for arguments in (["check"], ["replay", str(history)], ["bench"]):
        config = [] if arguments == ["bench"] else ["--config", str(site)]
        done = subprocess.run(
            [sys.executable, "-S", "-m", "edge", *arguments, *config],
            env={"PYTHONPATH": str(packages)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert "no inference runtime is installed: pip install ai-edge-litert" in said
        assert "Traceback" not in said
