"""What `talus watch` makes of messages: lines and screens, whatever it is sent."""

from __future__ import annotations

import json
import re
import zlib

from hypothesis import given
from hypothesis import strategies as st

from edge.watch_link import Arrival, unpacked
from edge.watch_screen import age, iso, screen
from edge.watching import MAX_ALARMS, MAX_EACH, MAX_GATEWAYS, View

NOW_MS = 1_761_414_365_000


def state(level: int, **more) -> dict[str, object]:
    return {"level": level, "no_data": False, "silent": [], "latched": False,
            "acknowledged_by": "", "shelved": {}} | more  # fmt: skip


def alarm(level: int, number: int = 1, **more) -> dict[str, object]:
    more = {"id": f"slope-{NOW_MS}-{number}", "time_ms": NOW_MS, "kind": "level",
            "reason": "level rose: tilt"} | more  # fmt: skip
    return state(level) | more


def test_each_change_is_one_line_and_no_change_is_none() -> None:
    view = View("talus")
    said = [
        view.take("talus/demo/status", {"online": True, "version": "1.0"}),
        view.take("talus/demo/status", {"online": True}),
        view.take("talus/demo/slope/state", state(0)),
        view.take("talus/demo/slope/alarm", alarm(3)),
        view.take("talus/demo/slope/state", state(3)),
        view.take("talus/demo/slope/alarm", alarm(3)),  # delivered twice
        view.take("talus/demo/slope/alarm", alarm(4, 2, kind="drill")),
        view.take("talus/demo/slope/state", state(3, latched=True, no_data=True)),
        view.take("talus/demo/slope/alarm", alarm(3, 3, acknowledged_by="ana", replayed=True)),
        view.take("talus/demo/slope/telemetry", {"rows": [[NOW_MS, 1, 0.5], [NOW_MS - 9, 0, 1]]}),
        view.take("talus/demo/status", {"online": False}),
    ]
    assert said == [
        ["demo is online"],
        [],
        ["demo/slope level 0 normal"],
        ["demo/slope level 3 warning: level rose: tilt"],
        [],
        [],
        ["demo/slope DRILL level 4 alarm: level rose: tilt"],
        ["demo/slope level 3 warning, NO-DATA, latched"],
        ["demo/slope level 3 warning: level rose: tilt (late)"],
        [],
        ["demo is OFFLINE"],
    ]
    station = view.gateways["demo"].stations["slope"]
    assert (station.level, station.acknowledged_by, station.latest_ms) == (3, "ana", NOW_MS)


def health(**more) -> dict[str, object]:
    ports = {"node-1": {"state": "opened", "last_reading_ms": NOW_MS - 3000}}
    return {"time_ms": NOW_MS - 1000, "outbox": {"messages": 12, "bytes": 3100}, "ports": ports,
            "second_path": {"open": False}} | more  # fmt: skip


def test_links_outbox_and_the_second_path() -> None:
    view = View("a/b")
    assert view.take("a/b/demo/health", health()) == ["demo port node-1: opened"]
    assert view.take("a/b/demo/health", health()) == []
    gone = {"node-1": {"state": "closed: vanished", "last_reading_ms": None}}
    assert view.take("a/b/demo/health", health(ports=gone, second_path={"open": True})) == [
        "demo second path is open", "demo port node-1: closed: vanished",
    ]  # fmt: skip
    drawn = screen(view, "here", NOW_MS, (100, 40), colours=False)
    assert "outbox 12 messages, 3.1 kB" in drawn
    assert "SECOND PATH OPEN" in drawn
    assert "health 1 s ago" in drawn


def test_a_bundle_on_trial_is_seen_until_it_is_none() -> None:
    view = View("t")
    view.take("t/demo/slope/state", state(0))
    tried = {"slope": {"bundle": "slope v2", "steps": 7, "of_steps": 30}, "other": 5}
    said = [view.take("t/demo/health", health(ports={}, remote=remote)) for remote in (
        {"trial": tried}, {"trial": tried}, {"trial": {"slope": {"ended": {"healthy": True}}}}, 4,
    )]  # fmt: skip
    assert said == [
        ["demo station slope tries slope v2"], [], ["demo station slope tries slope v2 no longer"],
        [],
    ]  # fmt: skip
    view.take("t/demo/health", health(remote={"trial": tried}))
    drawn = screen(view, "here", NOW_MS, (100, 40), colours=False)
    assert "slope                 0 normal     tries slope v2, 7 of 30 steps" in drawn


def test_the_screen_fits_the_terminal_and_has_colours_where_wanted() -> None:
    view = View("talus")
    for number in range(30):
        view.take(f"talus/demo/station-{number}/state", state(number % 5, silent=["x" * 100]))
    view.take("talus/demo/station-1/alarm", alarm(4))
    for columns, rows in ((80, 24), (20, 5), (200, 100), (1, 1)):
        drawn = screen(view, "here", NOW_MS, (columns, rows), colours=True)
        lines = drawn.removeprefix("\x1b[H").removesuffix("\x1b[J").split("\r\n")
        assert len(lines) <= rows
        for line in lines:
            assert len(re.sub(r"\x1b\[[0-9;]*[mK]", "", line)) <= columns
    assert "more lines)" in screen(view, "here", NOW_MS, (80, 24), colours=True)
    whole = screen(view, "here", NOW_MS, (200, 100), colours=True)
    assert "\x1b[1;37;41m4 alarm" in whole
    plain = screen(view, "here", NOW_MS, (200, 100), colours=False)
    assert re.findall(r"\x1b\[[^KHJ]", plain) == []
    assert "newest alarms" in plain


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["level", "id", "rows", "ports", "silent", "shelved", "outbox", "x"]),
            inner,
        )
    ),
    max_leaves=10,
)
_KEYS = st.sampled_from(
    ["online", "version", "time_ms", "outbox", "ports", "second_path", "level", "silent",
     "shelved", "acknowledged_by", "id", "reason", "rows", "kind", "no_data"]
)  # fmt: skip
_KINDS = ["status", "health", "s/alarm", "s/state", "s/telemetry", "s/x", "\x1b[2J/alarm", ""]


@given(st.lists(st.tuples(st.sampled_from(_KINDS), st.dictionaries(_KEYS, _ANY)), max_size=8))
def test_no_message_moves_the_cursor_raises_or_breaks_a_line(messages) -> None:
    view = View("talus")
    for kind, values in messages:
        for line in view.take(f"talus/g\x1b[31m/{kind}", values):
            assert line.isprintable()
    drawn = screen(view, "here", NOW_MS, (120, 50), colours=False)
    bare = drawn.replace("\x1b[K", "").removeprefix("\x1b[H").removesuffix("\x1b[J")
    assert bare.replace("\r\n", "").isprintable()


def test_nothing_grows_without_end() -> None:
    view = View("talus")
    for number in range(2000):
        view.take(f"talus/g{number}/status", {"online": True})
        view.take(f"talus/g0/s{number}/state", state(1))
        view.take("talus/g0/s1/alarm", alarm(1, number))
        view.take("talus/g0/health", health(ports={f"p{number}": {"state": "opened"}}))
    assert len(view.gateways) == MAX_GATEWAYS
    assert len(view.gateways["g0"].stations) == MAX_EACH
    assert len(view.gateways["g0"].ports) == MAX_EACH
    assert len(view.alarms) == MAX_ALARMS
    assert view.ignored == 2000 - MAX_GATEWAYS + 2000 - MAX_EACH
    assert view.take("other/demo/status", {"online": True}) == []


@given(st.binary(max_size=200))
def test_payloads_of_any_kind_have_values(payload: bytes) -> None:
    for each in (payload, b"x" + payload, zlib.compress(payload)):
        json.dumps(Arrival("t", each, False, 1, 1).values())


def test_compressed_telemetry_is_read_and_a_bomb_is_not_unpacked() -> None:
    assert Arrival("t", zlib.compress(b'{"rows":[1]}'), False, 1, 1).values() == {"rows": [1]}
    assert unpacked(b"xyz") == b"xyz"
    bomb = zlib.compress(bytes(64 * 1024 * 1024), 9)
    assert unpacked(bomb) == bomb


def test_ages_and_times() -> None:
    assert [age(NOW_MS, NOW_MS - ms) for ms in (-500, 0, 119_000, 7_000_000, 10**7, 10**9)] == [
        "-0 s", "0 s", "119 s", "117 min", "3 h", "12 days",
    ]  # fmt: skip
    assert iso(NOW_MS) == "2025-10-25T17:46:05Z"
    assert iso(2**52).startswith("9999-12-31")
