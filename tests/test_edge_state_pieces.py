"""A state in pieces comes back as it was; what did not change of it is not written again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.outbox import Outbox
from edge.state_pieces import MAX_PIECES, PIECE, cut, join

TEXTS = st.text(max_size=5) | st.integers(0, 40_000).map(lambda n: "ab,\n" * n)
STATES = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        TEXTS | st.integers() | st.none() | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


@given(STATES)
def test_a_state_comes_back_as_it_was(values) -> None:
    stored = cut("pipeline", values)
    assert join("pipeline", stored.get) == values
    json.loads(stored["pipeline"])


def test_parts_of_stations_stand_apart_and_a_spoilt_one_costs_no_other() -> None:
    large = {"floats": [n / 7 for n in range(1000)], "ring": "y" * 20_000}
    station = {"alarm": {"level": 3}, "quality": large, "rules": large}
    state = {"stations": {"slope": station, "toe": station}, "orders": ["1"]}
    stored = cut("pipeline", state)
    assert len(stored["pipeline"]) < 500
    assert {"pipeline/stations/slope/quality", "pipeline/stations/toe/rules"} <= stored.keys()
    assert all(len(v) <= PIECE for name, v in stored.items() if name.endswith(tuple("0123456789")))
    assert join("pipeline", stored.get) == state
    for damage in (None, b"{", b"[[[", b"\xff"):
        found = join("pipeline", (stored | {"pipeline/stations/slope/quality": damage}).get)
        assert found["stations"]["slope"].pop("quality") is None
        assert found["stations"]["slope"] == {"alarm": {"level": 3}, "rules": large}
        assert found["stations"]["toe"] == station


def test_a_state_of_before_there_were_pieces_is_read() -> None:
    old = {"pipeline": json.dumps({"ring": "x" * 50_000, "n": 1}).encode()}
    assert join("pipeline", old.get) == {"ring": "x" * 50_000, "n": 1}
    assert join("pipeline", {}.get) is None


@pytest.mark.parametrize("count", [0, -1, MAX_PIECES + 1, 10**9, "many", None])
def test_damage_costs_the_text_alone_and_is_bounded(count) -> None:
    stored = cut("pipeline", {"ring": "x" * 50_000, "n": 1})
    assert join("pipeline", {k: v for k, v in stored.items() if not k.endswith("/3")}.get) == {
        "ring": None,
        "n": 1,
    }
    values = json.loads(stored["pipeline"])
    values["ring"] = dict.fromkeys(values["ring"], count)
    stored["pipeline"] = json.dumps(values).encode()
    assert join("pipeline", stored.get) == {"ring": None, "n": 1}


def test_what_did_not_change_is_not_written_again(tmp_path) -> None:
    outbox = Outbox(tmp_path, 10**9)
    ring = [f"{n * 7919 % 10**9:09d}" for n in range(5000)]
    outbox.put([], cut("pipeline", {"ring": "".join(ring), "next": 0}))
    whole = outbox.disk.stored_bytes
    ring[2000] = "999999999"
    outbox.put([], cut("pipeline", {"ring": "".join(ring), "next": 1}))
    assert outbox.disk.stored_bytes - whole < whole / 8
    outbox.close()
    again = Outbox(tmp_path, 10**9)
    assert join("pipeline", again.load_state) == {"ring": "".join(ring), "next": 1}
    again.close()
