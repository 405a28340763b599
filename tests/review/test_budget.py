"""What a model needs of a device is measured on the file itself, by the scorer that the device runs."""

import math

import onnx
import pytest
from support import tiny_bundle

from pipeline.review import budget
from pipeline.runtime.errors import StageError


def test_a_model_is_measured_in_a_process_of_its_own(tmp_path) -> None:
    folder = tiny_bundle.write_bundle(tmp_path)
    used = budget.measure(folder / "sensor_threat.onnx")
    assert 0 < used.row_ms < math.inf
    assert 0 < used.session_mib < math.inf


def test_a_file_that_the_scorer_refuses_is_named(tmp_path) -> None:
    file = tmp_path / "sensor_threat.onnx"
    onnx.save(tiny_bundle.model(None, 2), file)  # without a contract
    with pytest.raises(StageError, match=r"sensor_threat\.onnx: the device's scorer does not run it; got: .*contract"):
        budget.measure(file)
