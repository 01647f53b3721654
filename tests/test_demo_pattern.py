"""What stands commented in the pattern gateway.toml is right when it is taken in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.bench import demo_bundle
from edge.config import Config, load_config
from export.secret_key import make_key

PATTERN = demo_bundle().parent / "gateway.toml"
# A comment of its own paragraph: tables and keys behind "# ", none of prose.
LINE = re.compile(r"# (\[|[a-z_]+ = )")


def taken_in(folder: Path, table: str) -> Config:
    """Take in the paragraph of comments that begins with a table."""
    text = PATTERN.read_text(encoding="utf-8").replace("RW...", make_key().public.text)
    parts = text.split("\n\n")
    (place,) = (i for i, part in enumerate(parts) if part.startswith(f"# [{table}]"))
    lines = parts[place].splitlines()
    assert all(LINE.match(line) for line in lines), lines
    parts[place] = "\n".join(line[2:] for line in lines)
    (folder / "gateway.toml").write_text("\n\n".join(parts), encoding="utf-8")
    return load_config(folder / "gateway.toml")


@pytest.mark.parametrize("table", ["remote", "publish", "second_path", "metrics"])
def test_a_commented_table_is_right_as_it_stands(tmp_path: Path, table: str) -> None:
    plain = load_config(PATTERN)
    config = taken_in(tmp_path, table)
    assert getattr(config, table) != getattr(plain, table)


def test_all_of_them_name_all_that_there_is_to_choose(tmp_path: Path) -> None:
    publish = taken_in(tmp_path, "publish").publish
    assert publish.forecast
    assert None not in (publish.cap, publish.sensorthings)
    assert publish.home_assistant == "homeassistant"
    second = taken_in(tmp_path, "second_path").second_path
    assert second.sms is not None
    assert [output.name for output in second.outputs] == ["siren"]
    metrics = taken_in(tmp_path, "metrics").metrics
    assert (metrics.port, metrics.file) == (9273, "talus.prom")
