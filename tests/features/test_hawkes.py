"""The self-exciting process: its fit against a process whose weights are known, and what it may look at."""

import h3
import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

from pipeline.features import hawkes
from pipeline.features.events import EventVersions, LabelEvents
from pipeline.features.history import decayed_counts
from pipeline.model.cells import resolution_of, spread_matrix

HALF_LIFE = 10.0
EVERY = 5.0


def process(seed: int, *, cells: int = 40, days: int = 3000, background: float = 0.02, branching: float = 0.5):
    """Return the events of a process, day by day: a background, and what each event brings to its own cell."""
    random = np.random.default_rng(seed)
    fading = 0.5 ** (1 / HALF_LIFE)
    excited = np.zeros(cells)
    cell, when = [], []
    for day in range(days):
        count = random.poisson(background + excited)
        cell.append(np.repeat(np.arange(cells), count))
        when.append(day + random.random(count.sum()))
        excited = fading * excited + branching * (1 - fading) * count
    return np.concatenate(cell), np.concatenate(when)


def events(cell: np.ndarray, when: np.ndarray) -> tuple[EventVersions, LabelEvents]:
    order = np.argsort(when, kind="stable")
    cell, when = cell[order], when[order]
    known = EventVersions(cell, when, when, np.full(len(when), np.inf), np.ones((len(when), 1)), ("label",))
    nobody = np.full(len(when), "acme")
    return known, LabelEvents(cell, when, np.full(len(when), np.nan), nobody, {})


def fitted(
    known: EventVersions, followed: LabelEvents, cells: int, *, until: float
) -> tuple[hawkes.Process, np.ndarray]:
    cutoffs = np.arange(200.0, 3000.0, EVERY)
    pasts = hawkes.Pasts((HALF_LIFE,), {0.0: sparse.csr_array(sparse.eye_array(cells))}, since=0.0)
    states = decayed_counts(known, cutoffs, half_lives_days=[HALF_LIFE, np.inf], cells=cells)
    counts = np.array([state.copy() for state in states])
    process = hawkes.fit(pasts, counts, cutoffs, followed, ends=cutoffs + EVERY, until=until)
    return process, np.array(list(process.rates(pasts, counts, cutoffs)))


def test_the_rates_are_the_weighted_pasts_also_where_a_weight_is_nothing() -> None:
    random = np.random.default_rng(5)
    counts, cutoffs = random.gamma(1.0, size=(3, 4, 3)), np.array([500.0, 700.0, 900.0])
    pasts = hawkes.Pasts((5.0, 50.0), {1.0: sparse.csr_array(random.random((4, 4)))}, since=0.0)
    weights = [0.0, 0.5, 0.0, 0.25, 0.0, 0.125]
    kernels = tuple(
        hawkes.Kernel(spread_cells=spread, half_life_days=days, weight=weight)
        for (spread, days), weight in zip(pasts.columns, weights, strict=True)
    )
    process = hawkes.Process(kernels=kernels, least_per_day=0.01)
    every = pasts.at(counts, cutoffs, used=np.ones(6, dtype=np.bool_))
    expected = [past @ weights + 0.01 for past in every]
    np.testing.assert_allclose(list(process.rates(pasts, counts, cutoffs)), expected, rtol=1e-12)


def test_the_fit_finds_how_many_events_one_event_brings() -> None:
    known, happened = events(*process(1))
    fit, rates = fitted(known, happened, 40, until=3000)
    triggering = fit.weights[[0, 2]].sum()  # of the cell's own, which stands twice: as it is and through the identity
    background = fit.weights[[1, 3]].sum()
    # what comes within a period is seen from the period before: some of the triggering is taken for background
    assert triggering == pytest.approx(0.5, abs=0.1)
    assert triggering + background == pytest.approx(1.0, abs=0.05)
    assert rates.sum() * EVERY == pytest.approx((happened.occurred >= 200).sum(), rel=0.02)


def test_events_that_bring_nothing_are_all_background() -> None:
    known, happened = events(*process(2, branching=0.0))
    fit, _ = fitted(known, happened, 40, until=3000)
    assert fit.weights[[0, 2]].sum() < 0.05


def test_the_weights_are_as_likely_as_those_that_scipy_finds() -> None:
    random = np.random.default_rng(4)
    followed = random.gamma(0.5, 1.0, (400, 7))
    followed[:, 3] = 2 * followed[:, 2]  # alike: only their sum can be estimated
    counts = random.poisson(followed @ [0.5, 0.0, 0.2, 0.0, 0.0, 1.0, 0.1] + 0.05) + 1.0
    exposed, least = 30 * followed.sum(axis=0), 0.05

    def loss(weights: np.ndarray) -> float:
        return float(exposed @ weights - counts @ np.log(followed @ weights + least))

    ours = hawkes._most_likely(exposed, followed, counts, least)
    assert (ours >= 0).all()
    start = np.full(7, 0.1)
    theirs = minimize(loss, start, method="L-BFGS-B", bounds=[(0, None)] * 7, options={"ftol": 1e-15, "gtol": 1e-10})
    assert loss(ours) <= theirs.fun + 1e-7 * counts.sum()


def test_a_past_that_was_never_seen_gets_no_weight() -> None:
    followed = np.column_stack([np.linspace(1, 2, 50), np.zeros(50)])
    weights = hawkes._most_likely(np.array([100.0, 0.0]), followed, np.ones(50), 1e-3)
    assert weights[0] > 0
    assert weights[1] == 0


def test_no_event_after_the_fit_changes_the_process() -> None:
    cell, when = process(3)
    known, happened = events(cell, when)
    early = when < 2000
    shorter = events(cell[early], when[early])
    (after, rates), (before, rates_before) = (fitted(*rows, 40, until=2000) for rows in ((known, happened), shorter))
    np.testing.assert_array_equal(after.weights, before.weights)
    cutoffs = np.arange(200.0, 3000.0, EVERY)
    np.testing.assert_array_equal(rates[cutoffs <= 2000], rates_before[cutoffs <= 2000])


def test_a_history_without_events_foretells_next_to_nothing() -> None:
    nothing = events(np.empty(0, int), np.empty(0))
    _, rates = fitted(*nothing, 40, until=3000)
    assert (rates > 0).all()
    assert rates.sum() * EVERY < 0.01


def test_a_kernel_spreads_a_count_without_adding_to_it() -> None:
    cells = np.sort(np.array([h3.str_to_int(c) for c in h3.grid_disk(h3.latlng_to_cell(4.6, -74.1, 6), 14)], np.uint64))
    middle = int(np.flatnonzero(cells == h3.str_to_int(h3.latlng_to_cell(4.6, -74.1, 6)))[0])
    count = np.zeros(len(cells))
    count[middle] = 1
    for spread in (0.75, 1.5, 4.0):
        smoothed = spread_matrix(cells, spread) @ count
        assert smoothed.sum() == pytest.approx(1, rel=0.1)
        assert smoothed.argmax() == middle
    assert resolution_of(cells) == 6
