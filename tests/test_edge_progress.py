"""When the watchdog may be petted: what was asked of each part against what it has done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.progress import Count, Progress

PATIENCE_S = 10.0


def judge(*looks: tuple[float, dict[str, Count]]) -> list[tuple[str, ...]]:
    progress = Progress(PATIENCE_S)
    return [progress.look(now_s, counts) for now_s, counts in looks]


def test_a_part_with_nothing_to_do_goes_on_for_ever() -> None:
    still = {"port a": Count(7, 3), "outbox": Count(0, 0)}
    assert judge(*((s, still) for s in range(0, 1000, 100))) == [()] * 10


def test_what_is_asked_and_not_done_holds_it_back_after_patience() -> None:
    looks = [(0.0, {"a": Count(0, 0), "b": Count(0, 0)})]
    looks += [(s, {"a": Count(int(s), 0), "b": Count(int(s), int(s))}) for s in range(1, 15)]
    found = judge(*looks)
    assert found[:11] == [()] * 11
    assert found[11:] == [("a",)] * 4


def test_one_thing_done_settles_the_debt() -> None:
    first, owed, done = Count(0, 0), Count(5, 0), Count(9, 1)
    found = judge(*[(0, {"a": first}), (1, {"a": owed}), (12, {"a": owed}), (13, {"a": done}),
                    (30, {"a": done})])  # fmt: skip
    assert found == [(), (), ("a",), (), ()]


def test_no_less_than_the_slack_is_a_debt() -> None:
    looks = [(s, {"a": Count(asked, 0, 3)}) for s, asked in ((0, 0), (20, 2), (40, 2), (60, 3))]
    assert judge(*looks, (69, {"a": Count(3, 0, 3)}), (70, {"a": Count(3, 0, 3)}))[-2:] == [
        (), ("a",),
    ]  # fmt: skip


def test_an_excuse_counts_and_the_debt_begins_anew_after_it() -> None:
    excused, owed = Count(5, 0, 1, "full"), Count(6, 0)
    found = judge(*[(0, {"a": Count(0, 0)}), (1, {"a": Count(1, 0)}), (20, {"a": excused}),
                    (21, {"a": owed}), (30, {"a": owed}), (31, {"a": owed})])  # fmt: skip
    assert found == [(), (), (), (), (), ("a",)]


def test_a_port_that_closes_owes_nothing_when_it_returns() -> None:
    found = judge((0, {"a": Count(0, 0)}), (1, {"a": Count(1, 0)}), (20, {}),
                  (21, {"a": Count(1, 0)}), (50, {"a": Count(1, 0)}))  # fmt: skip
    assert found == [()] * 5


@given(st.lists(st.tuples(st.floats(0.1, 9.0), st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_held_back_if_and_only_if_owed_for_so_long(steps) -> None:
    progress = Progress(PATIENCE_S)
    now_s, asked, done = 0.0, 0, 0
    progress.look(now_s, {"a": Count(0, 0)})
    at_done, owed_since = 0, None
    for delta_s, more, finished in steps:
        now_s += delta_s
        asked += more
        done += finished
        if finished:
            at_done, owed_since = asked, None
        elif asked > at_done and owed_since is None:
            owed_since = now_s
        expected = owed_since is not None and now_s - owed_since >= PATIENCE_S
        assert progress.look(now_s, {"a": Count(asked, done)}) == (("a",) if expected else ())
