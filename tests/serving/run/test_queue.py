"""The bounded queue between the inputs and the scorer."""

import threading

import pytest

from threat_scorer.run.queue import IntakeQueue, Item, Outcome


def items(count, outcomes, *, replies=True):
    reply = outcomes.append if replies else None
    return [Item("in", number, b"", 0.0, reply=reply) for number in range(1, count + 1)]


@pytest.mark.parametrize(("overload", "refused", "left"), [("oldest", [1, 2], [3, 4]), ("newest", [3, 4], [1, 2])])
def test_a_full_queue_refuses_by_the_policy_tells_the_sender_and_counts(overload, refused, left):
    outcomes: list[Outcome] = []
    queue = IntakeQueue(2, overload)
    assert all(queue.put(item) for item in items(4, outcomes))
    assert [(outcome.number, outcome.seq) for outcome in outcomes] == [(number, None) for number in refused]
    assert all("overload" in str(outcome.error) for outcome in outcomes)
    assert [item.number for item in queue.take(10, 0.0)] == left
    assert queue.refused == 2


@pytest.mark.parametrize(("overload", "replies"), [("wait", True), ("oldest", False), ("newest", False)])
def test_an_input_that_can_wait_waits_for_room(overload, replies):
    outcomes: list[Outcome] = []
    queue = IntakeQueue(2, overload)
    sent = items(6, outcomes, replies=replies)
    put = threading.Thread(target=lambda: [queue.put(item) for item in sent], daemon=True)
    put.start()
    taken = []
    while len(taken) < 6:
        taken += [item.number for item in queue.take(1, 1.0)]
    put.join()
    assert (taken, outcomes, queue.refused) == ([1, 2, 3, 4, 5, 6], [], 0)


def test_long_lines_fill_a_queue_by_their_size():
    outcomes: list[Outcome] = []
    queue = IntakeQueue(1000, "newest", limit_bytes=100)
    lines = [Item("in", number, b"x" * 60, 0.0, reply=outcomes.append) for number in range(1, 5)]
    assert all(queue.put(line) for line in lines)
    assert [outcome.number for outcome in outcomes] == [3, 4]
    assert [item.number for item in queue.take(1, 0.0)] == [1]
    assert queue.put(lines[0])
    assert [item.number for item in queue.take(10, 0.0)] == [2, 1]
    assert queue.put(lines[0])
    assert queue.refused == 2


def test_a_closed_queue_takes_nothing_more_and_lets_nobody_wait():
    queue = IntakeQueue(1, "wait")
    first, second = items(2, [])
    assert queue.put(first)
    threading.Timer(0.05, queue.close).start()
    assert not queue.put(second)
    assert queue.take(5, 0.0) == [first]
