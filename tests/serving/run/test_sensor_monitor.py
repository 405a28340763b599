"""Faults of a sensor: named while they last, in the record and in health, and never a reason to refuse a record."""

import json
import math
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer.run.config.settings import SensorLimits
from threat_scorer.run.sensor_monitor import Background, SensorMonitor, read_backgrounds, save_backgrounds

LIMITS = SensorLimits(stuck_after=5, missing_after=3, background_records=200, drift_records=100, drift_deviations=1.0)
NAN = math.nan


def make_monitor(**more):
    return SensorMonitor(["voltage", "height"], SensorLimits(**{**vars(LIMITS), **more}), {})


def feed(monitor, voltages, *, rng, outside=()):
    for voltage in voltages:
        faults = monitor.update([voltage, rng.gauss(0, 1)], outside)
    return faults


def normal(rng, count, mean=0.0):
    return [rng.gauss(mean, 1) for _ in range(count)]


def test_an_input_that_says_the_same_is_stuck_until_it_says_something_else():
    monitor, rng = make_monitor(), random.Random(1)
    assert feed(monitor, [0.4] * 4, rng=rng) == ()
    assert feed(monitor, [0.4], rng=rng) == ("voltage stuck",)
    assert monitor.faults == ("voltage stuck",)
    assert feed(monitor, [0.5], rng=rng) == monitor.faults == ()


def test_one_that_may_stand_still_is_not_stuck():
    assert feed(make_monitor(steady=("voltage",)), [0.4] * 50, rng=random.Random(1)) == ()


def test_an_input_that_was_there_is_missed_and_one_that_never_was_is_not():
    monitor, rng = make_monitor(), random.Random(1)
    assert feed(monitor, [NAN] * 10, rng=rng) == ()
    assert feed(monitor, [0.4, NAN, NAN], rng=rng) == ()
    assert feed(monitor, [NAN], rng=rng) == ("voltage missing",)
    assert feed(monitor, [0.4], rng=rng) == ()


def test_values_out_of_range_are_a_fault_when_there_are_many_of_late():
    monitor, rng = make_monitor(), random.Random(1)
    assert feed(monitor, [9.0], rng=rng, outside=["voltage"]) == ()
    assert feed(monitor, normal(rng, 20), rng=rng, outside=["voltage"]) == ("voltage out of range",)
    assert feed(monitor, normal(rng, 100), rng=rng) == ()


@pytest.mark.parametrize(("step", "message"), [(0.01, "voltage drifting up"), (-0.01, "voltage drifting down")])
def test_a_slow_departure_from_the_background_is_drift(step, message):
    monitor, rng = make_monitor(), random.Random(1)
    assert feed(monitor, normal(rng, 2000), rng=rng) == ()
    seen = [feed(monitor, [rng.gauss(step * n, 1)], rng=rng) for n in range(300)]
    assert seen[0] == ()
    assert seen[-1] == (message,)
    assert feed(monitor, normal(rng, 1000), rng=rng) == (), "it has come back"


def test_a_spell_of_large_values_is_no_drift():
    monitor, rng = make_monitor(), random.Random(1)
    feed(monitor, normal(rng, 400), rng=rng)
    assert feed(monitor, [1e30, -1e30, 1e38], rng=rng) == ()


def test_a_background_outlives_the_process_and_a_spoilt_file_is_learnt_again(tmp_path):
    monitor, rng, path = make_monitor(), random.Random(1), tmp_path / "background.json"
    feed(monitor, normal(rng, 300), rng=rng)
    assert monitor.unsaved
    save_backgrounds(path, {"left": monitor})
    assert not monitor.unsaved
    kept = read_backgrounds(path)
    assert kept == {"left": monitor.backgrounds}
    again = SensorMonitor(["voltage", "height"], LIMITS, kept["left"])
    assert feed(again, normal(rng, 150, mean=3.0), rng=rng) == ("voltage drifting up",)
    for damaged in (
        "",
        "[]",
        '{"left": 3}',
        '{"left": {"voltage": {"mean": 1, "deviation": 0}}}',
        '{"left": {"v": {}}}',
    ):
        path.write_text(damaged)
        assert read_backgrounds(path) == {}
    assert read_backgrounds(tmp_path / "none") == {}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=32, allow_infinity=False), max_size=60), st.floats(-1e30, 1e30), st.floats(1e-9, 1e30))
def test_any_values_can_be_watched(values, mean, deviation):
    limits = SensorLimits(stuck_after=2, missing_after=1, background_records=10, drift_records=10)
    for backgrounds in ({}, {"v": Background(mean, deviation)}):
        monitor = SensorMonitor(["v"], limits, backgrounds)
        for value in values:
            assert all(fault.startswith("v ") for fault in monitor.update([value], []))
        assert all(known.deviation > 0 for known in monitor.backgrounds.values())


def test_the_record_and_the_status_name_the_fault(short_folder, tmp_path_factory):
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    config = short_folder / "scorer.toml"
    config.write_text(
        f'device = "mast-3"\nbundle = "{bundle}"\nstate = "state"\n[health]\nevery_s = 0.1\n'
        "[sensor_monitor]\nstuck_after = 3\nbackground_records = 10\n"
        '[[input]]\nkind = "file"\nmodel = "sensor_threat"\npath = "in.jsonl"\n'
        '[[output]]\nkind = "file"\npath = "out.jsonl"\n'
    )
    rng = random.Random(2)
    lines = [{"id": n, "voltage": 0.4 if n > 15 else rng.random(), "height": rng.random()} for n in range(20)]
    (short_folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "threat_scorer.cli"]
    process = subprocess.Popen([*command, "run", "--config", str(config)], stderr=subprocess.DEVNULL)

    def status():
        arguments = [*command, "status", "--config", str(config)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60).stdout

    until(lambda: "voltage stuck" in status())
    assert status().startswith("degraded")
    records = [json.loads(line) for line in (short_folder / "out.jsonl").read_text().splitlines()]
    assert [record.get("sensor_faults") for record in records[16:]] == [
        None,
        None,
        ["voltage stuck"],
        ["voltage stuck"],
    ]
    assert records[0]["missing"] == ["emi_in_phase", "emi_quadrature"]
    assert set(read_backgrounds(short_folder / "state/background.json")["file"]) == {"voltage", "height"}
    process.terminate()
    assert process.wait(30) == 0
