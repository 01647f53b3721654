"""The benchmark of a gateway from afar: what it sets up and how it reads what is said inside."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from bench_modules import imported

from edge.config import load_config
from export.local_broker import mosquitto_path
from export.provision.firstboot.status import OK, WAITS, Status


@pytest.fixture(scope="module")
def parts() -> Any:
    with imported(
        "flash_afar_desk", "flash_afar_site", "flash_afar_inside", under="flash_afar_"
    ) as all_of:
        yield all_of


def test_each_step_of_the_first_boot_is_to_be_told_as_ok(parts) -> None:
    status = Status("vm1")
    for step in parts.inside.STEPS:
        status.add(step, OK, "in words: all of them")
    assert parts.inside.status_wrongs(status.body()) == []
    assert parts.inside.status_wrongs(status.body(), ("boot part.",)) == ["boot part.: not told"]
    status.add("boot part.", WAITS, "stays read-only")
    assert parts.inside.status_wrongs(status.body()) == ["boot part.: WAITS stays read-only"]


@pytest.mark.skipif(mosquitto_path() is None, reason="NOT TESTED: no mosquitto")
def test_the_site_has_keys_and_nothing_unsigned(parts, tmp_path) -> None:
    desk = parts.desk.Desk(tmp_path)
    path = tmp_path / "gateway.toml"
    path.write_text(parts.site.gateway_toml(desk, "first"), encoding="utf-8")
    config = load_config(path)
    assert [key.text for key in config.trust.keys] == [desk.public("site")]
    assert [key.text for key in config.remote.keys] == [desk.public("room")]
    assert desk.public("site") != desk.public("room")
    assert not config.trust.allow_unsigned
    assert not config.remote.allow_unsigned
    assert (config.mqtt.host, config.mqtt.port) == ("10.0.2.2", desk.broker.port)
    assert config.mqtt.ca_file
    assert config.mqtt.key_file
    assert (config.name, len(desk.token()) > 20) == ("vm1", True)


def test_a_secret_on_a_card_is_found_wherever_it_lies(parts, tmp_path) -> None:
    card = tmp_path / "card.img"
    card.write_bytes(b"\0" * 70_000 + b"the token" + b"\0" * 5)
    assert parts.inside.left_in(card, (b"the token", b"another")) == 1
    assert parts.inside.left_in(card, (b"another",)) == 0


def test_a_package_of_another_version_says_that_it_is(parts, tmp_path) -> None:
    source = parts.site.copy_of_the_code(tmp_path / "source", "9.8.7")
    done = subprocess.run(
        [sys.executable, "-m", "edge", "--version"], cwd=source, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "talus 9.8.7\n"
