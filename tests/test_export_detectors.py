"""Detectors: what is put in is found, budgets hold, and the gate arms the better one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.autoencoder import Detector
from edge.manifest import Artifact, DetectorSpec, FeatureSpec, Term
from export.history import History
from export.models.autoencoder import fit_pca
from export.models.budget import limit_for
from export.models.detection import (
    Candidate,
    channel_weights,
    errors,
    judge_detectors,
    pooled,
    scales,
)
from export.models.faults import KINDS, Spread, injected
from export.models.reconstruction import Conv, Dense, Reconstruction

WINDOW, CHANNELS = 8, ("a", "b", "c")
TERMS = tuple(Term(name, "level", 1.0) for name in CHANNELS)
FEATURES = FeatureSpec(TERMS, (0.0,) * 3, (1.0,) * 3, 100.0, 4)
ARTIFACT = Artifact("x.tflite", "tflite", "float32", 1.0, ("litert",), 1, 0.0, 1.0, 0.0, 0)


class Reference:
    """A trained detector behind the interface of a loaded artifact."""

    runtime = "reference"

    def __init__(self, net: Reconstruction) -> None:
        self._net = net
        self.invoke = lambda: None

    def step(self, x: np.ndarray, state: None = None) -> tuple[np.ndarray, None]:
        return self._net.run(x)[0], None


def calm(steps: int, seed: int) -> np.ndarray:
    """Three features that move together, and a little each for itself."""
    random = np.random.default_rng(seed)
    shared = np.convolve(random.normal(0, 1, steps + 20), np.ones(20) / 4, "valid")[:steps]
    rows = np.stack([shared, -shared, 0.5 * shared], axis=1)
    return (rows + random.normal(0, 0.1, rows.shape)).astype(np.float32)


def windows_of(x: np.ndarray) -> np.ndarray:
    view = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=0)
    return np.ascontiguousarray(view.transpose(0, 2, 1))


def spec_of(candidate: Candidate, threshold: float = 1.0) -> DetectorSpec:
    return DetectorSpec(
        "pca", "t2q", True, "", WINDOW, 0, candidate.parts, candidate.pooling,
        tuple(candidate.scale.tolist()), threshold, 0.001, (ARTIFACT,), "golden.json",
    )  # fmt: skip


def pca(pooling: str = "max") -> Candidate:
    x = calm(2000, 1)
    net = fit_pca(windows_of(x))
    weights = channel_weights(FEATURES, CHANNELS, (1.0,) * 6, WINDOW, 2)
    found = errors(net, x, np.ones(len(x), dtype=bool), weights, WINDOW)
    return Candidate("t2q", net, 2, pooling, scales(found, pooling, 2))


def test_the_squares_of_the_second_part_of_pca_sum_up_to_t2() -> None:
    x = windows_of(calm(3000, 2))
    net = fit_pca(x, 0.9)
    flat = x.reshape(len(x), -1).astype(np.float64)
    down = net.layers[0]
    assert isinstance(down, Dense)
    scores = flat @ down.kernel + down.bias
    t2 = (scores**2 / scores.var(axis=0, ddof=1)).sum(axis=1)
    y, _ = net.run(x)
    assert (y[:, WINDOW:] ** 2).sum(axis=(1, 2)) == pytest.approx(t2, rel=1e-3)
    residual = ((x - y[:, :WINDOW]) ** 2).sum()
    assert residual < 0.12 * (x**2).sum()


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_the_gateway_scores_a_stream_as_the_training_did(pooling: str) -> None:
    candidate, x = pca(pooling), calm(60, 3)
    detector = Detector(spec_of(candidate), FEATURES, CHANNELS, Reference(candidate.net))
    streamed = [detector.score_one(row) for row in x]
    weights = channel_weights(FEATURES, CHANNELS, (1.0,) * 6, WINDOW, 2)
    found = errors(candidate.net, x, np.ones(60, dtype=bool), weights, WINDOW)
    batch = pooled(found, candidate.scale, pooling, 2)
    for score, expected in zip(streamed, batch, strict=True):
        if score is None:
            assert np.isnan(expected)
        else:
            assert score.value == pytest.approx(expected, rel=1e-3)


def test_a_fault_is_found_and_its_channel_is_blamed_most() -> None:
    candidate = pca()
    detector = Detector(spec_of(candidate, 8.0), FEATURES, CHANNELS, Reference(candidate.net))
    quiet = [detector.score_one(row) for row in calm(100, 4)]
    assert max(s.value for s in quiet if s) < 8.0
    assert all(not s.contributions for s in quiet if s)
    rows = calm(40, 5)
    rows[:, 1] += 3.0  # b leaves the others
    last = [detector.score_one(row) for row in rows][-1]
    assert last is not None
    assert last.ratio > 1.0
    assert last.channel == "b"
    assert last.contributions[0][0] == "b"
    shares = [share for _, share in last.contributions]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0, abs=0.01)


def test_a_detector_continues_after_a_restart() -> None:
    candidate, x = pca(), calm(40, 6)
    spec, model = spec_of(candidate), Reference(candidate.net)
    whole = Detector(spec, FEATURES, CHANNELS, model)
    parted = Detector(spec, FEATURES, CHANNELS, model)
    for i, row in enumerate(x):
        expected = whole.score_one(row)
        if i == 21:
            state = parted.snapshot()
            parted = Detector(spec, FEATURES, CHANNELS, model)
            parted.restore(state)
        assert parted.score_one(row) == expected


def test_a_recurrent_detector_steps_and_averages_over_the_window() -> None:
    class Half:
        """Gives back half of a step, and counts in its state."""

        runtime = "reference"

        def __init__(self) -> None:
            self.invoke = lambda: None

        def step(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return 0.5 * x, state + 1.0

    spec = DetectorSpec(
        "autoencoder", "gru", True, "", 4, 2, 1, "max", (1.0, 1.0, 1.0), 99.0, 0.001,
        (ARTIFACT,), "golden.json",
    )  # fmt: skip
    detector = Detector(spec, FEATURES, CHANNELS, Half())
    found = [detector.score_one(np.float32([2.0, 0.0, v])) for v in (0.0, 0.0, 0.0, 8.0, 8.0)]
    assert found[:3] == [None] * 3
    assert found[3] is not None
    assert found[3].value == pytest.approx(16.0 / 4)
    assert found[4] is not None
    assert (found[4].channel, found[4].value) == ("c", pytest.approx(8.0))
    assert detector.snapshot()["state"] == [[5.0, 5.0]]
    assert detector.score_one(None) is None
    assert detector.snapshot()["state"] == [[0.0, 0.0]]


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Convolve with zeros around, as TensorFlow's SAME does: the slow and plain way."""
    taps, _, out = kernel.shape
    count = -(-len(x) // stride)
    before = max((count - 1) * stride + taps - len(x), 0) // 2
    found = np.zeros((count, out))
    for t in range(count):
        for k in range(taps):
            at = t * stride + k - before
            if 0 <= at < len(x):
                found[t] += x[at] @ kernel[k]
    return found


def test_the_reference_of_a_convolution_is_a_convolution() -> None:
    random = np.random.default_rng(7)
    kernel = random.normal(0, 1, (5, 3, 2)).astype(np.float32)
    layer = Conv(kernel, np.float32([0.5, -0.5]), False, 2, False)
    up = Conv(random.normal(0, 1, (5, 2, 3)).astype(np.float32), np.zeros(3, "f"), False, 1, True)
    x = random.normal(0, 1, (4, WINDOW, 3)).astype(np.float32)
    found, _ = Reconstruction(WINDOW, 3, (layer, up)).run(x)
    for window, y in zip(x, found, strict=True):
        halved = convolved(window, kernel, 2) + layer.bias
        assert y == pytest.approx(convolved(np.repeat(halved, 2, axis=0), up.kernel, 1), abs=1e-4)


def test_a_threshold_keeps_its_budget_on_new_calm_scores() -> None:
    random = np.random.default_rng(8)
    for share in (0.01, 0.0005):
        limit = limit_for(random.exponential(1.0, 3000), share)
        beyond = float((random.exponential(1.0, 400_000) > limit.value).mean())
        assert share / 6 < beyond < share * 3
    assert "peaks over threshold" in limit_for(random.exponential(1.0, 500), 0.0005).how
    assert "conformal" in limit_for(random.exponential(1.0, 5000), 0.01).how


def test_too_few_scores_give_a_threshold_that_says_so() -> None:
    found = limit_for(np.array([1.0, 2.0]), 0.001)
    assert found.value == 2.5
    assert "too few for a budget" in found.how
    assert limit_for(np.array([]), 0.001).value > 0.0


@settings(max_examples=40)
@given(st.lists(st.floats(0.0, 1e6) | st.just(float("nan")), max_size=200), st.floats(1e-6, 0.2))
def test_a_threshold_is_a_number_above_zero(scores: list[float], share: float) -> None:
    found = limit_for(np.array(scores), share).value
    assert np.isfinite(found)
    assert found > 0.0


@given(st.integers(0, 10_000))
def test_faults_are_where_they_say_and_nowhere_else(seed: int) -> None:
    x = calm(300, 9).astype(np.float64)
    reset = np.zeros(300, dtype=bool)
    history = History(np.arange(300), x, reset, CHANNELS, "", ())
    size = Spread(np.ones(3), np.full(3, 0.2))
    kept = x.copy()
    changed, events = injected(history, slice(100, 300), 16, 30, ("a",), size, seed)
    assert np.array_equal(x, kept)
    inside = np.zeros((300, 3), dtype=bool)
    for event in events:
        assert event.kind in KINDS
        assert 100 <= event.start < event.stop <= 300
        column = CHANNELS.index(event.channel)
        inside[event.start : event.stop, column] = True
        part = changed.values[event.start : event.stop, column]
        assert (part != kept[event.start : event.stop, column]).any()
        assert event.kind != "acceleration" or event.channel == "a"
    assert np.array_equal(changed.values[~inside], kept[~inside])
    assert events


@pytest.mark.parametrize(
    ("ours", "theirs", "armed"),
    [
        ([0.6, 0.5, 0.6], [0.4, 0.4, 0.4], (True, False)),
        ([0.4, 0.4, 0.4], [0.5, 0.5, 0.5], (False, True)),
        ([0.4, 0.4], [0.4, 0.4], (False, True)),
        ([0.9, 0.1, 0.4], [0.4, 0.4, 0.4], (False, True)),
        ([0.0, 0.01], [0.01, 0.0], (False, False)),
        ([0.9], [0.4], (False, True)),
    ],
)
def test_the_autoencoder_is_armed_only_if_it_beats_pca_by_more_than_chance(
    ours: list[float], theirs: list[float], armed: tuple[bool, bool]
) -> None:
    verdicts = judge_detectors("conv", ours, theirs)
    assert tuple(v.armed for v in verdicts) == armed
    assert "the conv autoencoder finds" in verdicts[0].reason


def test_unknown_steps_make_no_window() -> None:
    candidate, x = pca(), calm(40, 10)
    known = np.ones(40, dtype=bool)
    known[20] = False
    weights = channel_weights(FEATURES, CHANNELS, (1.0,) * 6, WINDOW, 2)
    found = errors(candidate.net, x, known, weights, WINDOW)
    whole = np.isfinite(found).all(axis=1)
    assert whole.tolist() == [WINDOW - 1 <= i < 20 or i >= 20 + WINDOW for i in range(40)]
    assert np.isfinite(replace(candidate).scale).all()
