"""Clocks that are wrong: which timestamps the running scorer believes."""

from threat_scorer.run.clock import EARLIEST, Clock, Moment, iso


class Hands:
    """Two clocks that a test sets."""

    def __init__(self):
        self.wall, self.steady = EARLIEST + 1e6, 100.0

    def clock(self, latest=0.0):
        return Clock(latest, wall=lambda: self.wall, steady=lambda: self.steady)


def test_a_clock_at_1970_is_not_believed_and_one_that_is_set_is():
    hands = Hands()
    hands.wall = 5.0
    clock = hands.clock()
    assert clock.now() == Moment(5.0, True)
    hands.wall = EARLIEST + 1e6
    assert not clock.now().uncertain


def test_a_clock_that_jumps_back_is_not_believed_until_it_is_past_the_latest_time_again():
    hands = Hands()
    clock = hands.clock()
    latest = clock.now().at
    hands.wall -= 1.0
    assert not clock.now().uncertain, "steered, not set"
    hands.wall = latest - 3600
    assert clock.now().uncertain
    assert clock.latest == latest
    hands.wall = latest + 1
    assert not clock.now().uncertain


def test_a_restart_remembers_the_latest_time():
    hands = Hands()
    assert hands.clock(latest=hands.wall + 3600).now().uncertain


def test_a_leap_ahead_is_not_believed_and_does_not_spoil_the_clock():
    hands = Hands()
    clock = hands.clock()
    clock.now()
    hands.wall += 10 * 365 * 24 * 3600
    assert clock.now().uncertain
    hands.wall -= 10 * 365 * 24 * 3600
    hands.steady += 1
    assert not clock.now().uncertain


def test_times_are_written_in_utc():
    assert iso(EARLIEST) == "2026-01-01T00:00:00.000000Z"
