"""What is done to a node: requests, rows that it measures, noise on its line."""

from __future__ import annotations

import math

from c_node import BOOT_ID
from hypothesis import strategies as st

from firmware_bridge.commands import (
    ENTER_UPDATE,
    GET_SET,
    PING,
    REBOOT,
    RESEND,
    SYNC,
    Setting,
    Span,
    reboot_request,
    sync_request,
    update_request,
)
from firmware_bridge.messages import (
    DATA,
    DESCRIBE,
    HELLO,
    STATS,
)

SEQS = st.integers(0, 3)
NUMBERS = st.one_of(st.just(math.nan), st.integers(-200, 200).map(float))
ROWS = st.tuples(
    NUMBERS,
    NUMBERS,
    st.one_of(st.just(math.nan), st.integers(0, 2**32 - 1).map(float)),
    st.one_of(st.just(math.nan), st.floats(width=32, min_value=-1e6, max_value=1e6)),
)
KEYS = st.sampled_from([0, 1, 2, 3, 4, 5, 127])
REQUESTS = st.one_of(
    st.tuples(st.just(HELLO), st.just(b"")),
    st.tuples(st.just(DESCRIBE), st.integers(0, 3).map(lambda i: bytes((i,)))),
    st.tuples(st.just(SYNC), st.integers(0, 2**64 - 1).map(sync_request)),
    st.tuples(st.just(PING), st.binary(max_size=244)),
    st.tuples(st.just(GET_SET), KEYS.map(lambda key: Setting(key, None).encode())),
    st.tuples(
        st.just(GET_SET),
        st.builds(lambda key, value: Setting(key, value, written=True).encode(), KEYS,
                  st.one_of(st.integers(0, 9), st.sampled_from([255, 256, 10**6, 86_400_001]))),
    ),
    st.tuples(st.just(GET_SET), st.binary(max_size=8)).filter(lambda r: r[1][1:2] < b"\x80"),
    st.tuples(st.just(REBOOT), st.integers(0, 3).map(lambda b: reboot_request(BOOT_ID + b))),
    st.tuples(st.just(REBOOT), st.binary(max_size=6)),
    st.tuples(st.just(ENTER_UPDATE), st.integers(0, 3).map(lambda b: update_request(BOOT_ID + b))),
    st.tuples(st.just(RESEND), st.builds(lambda a, n: Span(a, (a + n) % 2**32).encode(),
                                         st.integers(0, 40), st.integers(-2, 20))),
    st.tuples(st.sampled_from([0x24, 0x7F, DATA, STATS]), st.binary(max_size=3)),
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), REQUESTS, SEQS),
        st.tuples(st.just("row"), ROWS),
        st.tuples(st.just("rows"), st.lists(ROWS, min_size=1, max_size=12)),
        st.tuples(
            st.just("noise"), st.binary(min_size=1, max_size=8).filter(lambda b: b[0] != 255)
        ),
    ),
    max_size=25,
)
