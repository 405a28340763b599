"""The one pass over the history against a sum over every event at every cutoff."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from pipeline.features.events import EventVersions
from pipeline.features.history import days_since_last, decayed_counts, recent_counts

CELLS = 4
CUTOFFS = np.array([100.0, 114.0, 128.0, 200.0])

# whole days, so that versions often begin and end exactly at a cutoff
moment = st.sampled_from(CUTOFFS.tolist()) | st.integers(0, 220).map(float)
version = st.tuples(st.integers(0, CELLS - 1), moment, moment, st.none() | moment, st.floats(0, 5, width=16))


def events_of(versions) -> EventVersions:
    known = np.array([max(happened, available) for _, happened, available, _, _ in versions], dtype=float)
    return EventVersions(
        cell=np.array([cell for cell, *_ in versions], dtype=np.int64),
        occurred=np.array([happened for _, happened, *_ in versions], dtype=float),
        known_from=known,
        known_until=np.array([np.inf if until is None else until for *_, until, _ in versions], dtype=float),
        weights=np.array([[weight, 1.0] for *_, weight in versions], dtype=float).reshape(-1, 2),
        channels=("weighted", "plain"),
    )


def known_at(events: EventVersions, cutoff: float) -> np.ndarray:
    return np.flatnonzero((events.known_from <= cutoff) & (cutoff < events.known_until))


@settings(max_examples=60, deadline=None)
@given(st.lists(version, max_size=25))
def test_decayed_counts_are_the_sums_over_the_known_versions(versions) -> None:
    events, half_lives = events_of(versions), [10.0, np.inf]
    result = [state.copy() for state in decayed_counts(events, CUTOFFS, half_lives_days=half_lives, cells=CELLS)]
    for cutoff, state in zip(CUTOFFS, result, strict=True):
        expected = np.zeros((CELLS, 4))
        for j in known_at(events, cutoff):
            for h, half_life in enumerate(half_lives):
                decay = 0.5 ** ((cutoff - events.occurred[j]) / half_life)
                expected[events.cell[j], 2 * h : 2 * h + 2] += events.weights[j] * decay
        np.testing.assert_allclose(state, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(version, max_size=25))
def test_days_since_last_forgets_what_was_superseded(versions) -> None:
    events = events_of(versions)
    for cutoff, result in zip(CUTOFFS, days_since_last(events, CUTOFFS, since=0.0, cells=CELLS), strict=True):
        expected = np.full(CELLS, cutoff)
        for j in known_at(events, cutoff):
            expected[events.cell[j]] = min(expected[events.cell[j]], cutoff - events.occurred[j])
        np.testing.assert_allclose(result, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(version, max_size=25))
def test_recent_counts_are_of_the_window_before_the_cutoff(versions) -> None:
    events = events_of(versions)
    for cutoff, result in zip(CUTOFFS, recent_counts(events, CUTOFFS, starts=CUTOFFS - 28, cells=CELLS), strict=True):
        expected = np.zeros(CELLS)
        for j in known_at(events, cutoff):
            expected[events.cell[j]] += cutoff - 28 <= events.occurred[j] <= cutoff
        np.testing.assert_array_equal(result, expected)
