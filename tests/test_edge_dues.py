"""Which station is to be looked at: no later than it was due, and few that need not be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dues import Dues

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lower"), st.integers(0, 4), st.integers(0, 60)),
        st.tuples(st.just("all"), st.just(0), st.integers(0, 60)),
        st.tuples(st.just("look"), st.just(0), st.integers(0, 60)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_each_is_given_out_once_its_earliest_time_is_over(steps) -> None:
    dues, plain = Dues(5), {}
    for what, place, at in steps:
        if what == "lower":
            dues.lower(place, at)
            plain[place] = min(at, plain.get(place, at))
        elif what == "all":
            dues.lower_all(at)
            plain = {i: min(at, plain.get(i, at)) for i in range(5)}
        else:
            wanted = sorted(i for i, due in plain.items() if due < at)
            assert list(dues.passed(at)) == wanted
            for i in wanted:
                del plain[i]


def test_what_is_put_off_over_and_over_does_not_grow_without_bound() -> None:
    dues = Dues(3)
    for now in range(10_000):
        dues.lower(1, now + 50)
        for place in dues.passed(now):
            dues.lower(place, now + 50)
    assert len(dues._heap) < 10
