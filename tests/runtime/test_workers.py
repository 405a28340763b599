"""Threads: results in order, the first error in its turn, and a bounded number under way."""

import threading

import pytest

from pipeline.runtime import workers
from pipeline.runtime.errors import StageError


@pytest.fixture(params=["1", "2", "5"])
def several(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv(workers.VARIABLE, request.param)
    return int(request.param)


def test_results_come_in_the_order_of_the_items_for_any_number_of_workers(several: int) -> None:
    last_first = [threading.Event() for _ in range(several + 1)]
    last_first[several].set()

    def work(item: int) -> int:
        if item < several and several > 1:  # the first round of items ends in the opposite order
            last_first[item + 1].wait(10)
            last_first[item].set()
        return item**2

    assert list(workers.map_in_order(work, range(40))) == [item**2 for item in range(40)]
    assert list(workers.map_in_order(work, [])) == []


def test_no_more_items_are_taken_than_there_are_workers(several: int) -> None:
    taken = []
    results = workers.map_in_order(str, (taken.append(item) or item for item in range(100)))
    for done in range(1, 20):
        next(results)
        assert len(taken) <= done + several


def test_the_first_item_that_fails_raises_and_no_later_one_is_begun(several: int) -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item in (3, 4):
            raise StageError(f"item {item}")
        return item

    results = workers.map_in_order(work, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StageError, match="item 3"):
        next(results)
    assert max(begun) <= 3 + several


def test_work_inside_of_work_stays_in_its_thread(several: int) -> None:
    def inner(_: int) -> int:
        return threading.get_ident()

    def outer(_: int) -> set[int]:
        return {threading.get_ident(), *workers.map_in_order(inner, range(5))}

    assert [len(threads) for threads in workers.map_in_order(outer, range(8))] == [1] * 8


def test_a_reader_that_leaves_early_leaves_no_thread_behind(several: int) -> None:
    before = threading.active_count()
    results = workers.map_in_order(abs, range(100))
    next(results)
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", "²"])
def test_a_number_of_workers_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(workers.VARIABLE, text)
    with pytest.raises(StageError, match=r"PIPELINE_WORKERS: got .*; expected a number of workers, at least 1"):
        workers.count()


def test_without_the_variable_there_is_a_worker_for_each_processor_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(workers.VARIABLE, raising=False)
    for processors, expected in {1: 1, 3: 3, 96: workers.MOST}.items():
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=processors: set(range(n)))
        assert workers.count() == expected
