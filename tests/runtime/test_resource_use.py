"""What a fit took: the counters of a machine that has some, and nothing made up where it has none."""

import time
from pathlib import Path

import pytest

from pipeline.runtime.resource_use import Stopwatch


@pytest.fixture
def counters(tmp_path: Path):
    """Return what sets a machine's counters: two processors, one with memory of its own, and a part of a processor."""
    names = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
    }
    for zone, name in names.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("9999999\n")

    def show(*microjoules: int) -> Path:
        for zone, value in zip(names, microjoules, strict=True):
            (tmp_path / zone / "energy_uj").write_text(f"{value}\n")
        return tmp_path

    return show


def test_joules_are_of_the_processors_and_their_memory_also_when_a_counter_began_anew(counters) -> None:
    watch = Stopwatch(counters(1_000_000, 500_000, 200_000, 9_000_000))
    counters(3_000_000, 900_000, 700_000, 1_000_000)
    spent = watch.read()
    assert spent.joules == pytest.approx(2.0 + 0.5 + 2.0)
    assert spent.machine.endswith(" processors")


def test_a_machine_that_shows_no_counters_or_not_all_of_them_has_no_joules(counters, tmp_path, monkeypatch) -> None:
    assert Stopwatch(tmp_path / "nowhere").read().joules is None
    watch = Stopwatch(counters(1, 1, 1, 1))
    read = Path.read_text

    def refuse(path: Path, *arguments, **options) -> str:
        if path.parent.name == "intel-rapl:1" and path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert watch.read().joules is None


def test_time_is_from_when_the_watch_was_made(monkeypatch) -> None:
    wall, processor = iter([100.0, 112.5]), iter([7.0, 30.0])  # four threads were at work
    monkeypatch.setattr(time, "monotonic", lambda: next(wall))
    monkeypatch.setattr(time, "process_time", lambda: next(processor))
    spent = Stopwatch(Path("nowhere")).read()
    assert (spent.wall_s, spent.cpu_s) == (12.5, 23.0)
