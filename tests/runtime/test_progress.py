"""Progress: a bar for a terminal, seldom plain lines for a log, and the items as they are."""

import io

import pytest

from pipeline.runtime import progress
from pipeline.runtime.progress import Progress, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, in seconds, as the one element of a list that a test sets."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_log_has_plain_lines_a_while_apart(clock: list[float]) -> None:
    log = io.StringIO()
    with Progress("area_risk_28d", total=9, unit="fit", file=log) as shows:
        for _ in range(9):
            clock[0] += 15.0
            shows.advance()
    assert log.getvalue().splitlines() == [
        "area_risk_28d: 2 of 9 fits, 0.0667 fits a second, 01:45 left",
        "area_risk_28d: 4 of 9 fits, 0.0667 fits a second, 01:15 left",
        "area_risk_28d: 6 of 9 fits, 0.0667 fits a second, 00:45 left",
        "area_risk_28d: 8 of 9 fits, 0.0667 fits a second, 00:15 left",
    ]


def test_short_work_leaves_a_log_alone(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(shown("abc", "letters", total=3, unit="letter")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
    clock[0] += progress.LINE_EVERY_S
    for _ in shown("abc", "letters", total=3, unit="letter"):
        clock[0] += progress.LINE_EVERY_S
    assert capsys.readouterr().err.count("letters: ") == 3


def test_a_terminal_has_a_bar_with_rate_and_time_left() -> None:
    terminal = Terminal()
    with Progress("parity gate", total=20_000, unit="row", file=terminal) as shows:
        shows.advance(20_000)
    bar = terminal.getvalue()
    assert "parity gate: 100%" in bar and "20.0k/20.0k" in bar and "row/s" in bar
