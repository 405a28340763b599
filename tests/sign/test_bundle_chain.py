"""The chain's export is signed, installed and used for scoring, as in the field."""

import json
import subprocess
import sys

import numpy as np
import pytest
from support.project import Project

from threat_scorer import Scorer

LIMIT = 14.9
"""A little less than `export.log_odds_limit`."""
RECORD = '{"id": "d1", "voltage": 0.4, "height": 0.3}\n'


def test_the_reasons_that_a_device_gives_add_up_to_its_log_odds(small_chain: Project):
    model = Scorer.load(small_chain.root / "models/simulated/bundle").model("sensor_threat")
    rng = np.random.default_rng(5)
    remainders = []
    for _ in range(50):
        values = [float(rng.uniform(entry.low, entry.high)) for entry in model.contract.inputs]
        contributions = model.predict_row(values, contributions=True).contributions
        assert contributions is not None
        log_odds = model.predict_row(values).log_odds
        if abs(log_odds) < LIMIT:  # clipped, it no longer is the sum
            remainders.append(log_odds - contributions.sum(dtype=np.float64))
    assert len(remainders) > 10
    assert np.ptp(remainders) < 1e-4, "what is left is the log-odds of a typical row, the same for all"


@pytest.fixture
def signed(small_chain: Project, tmp_path):
    """Sign the chain's models for one partner; return the bundle and the trust file."""

    def export(*arguments):
        return small_chain.succeed(sys.executable, "-m", "pipeline.sign", *map(str, arguments))

    keys, trust, bundle = tmp_path / "keys", tmp_path / "trust.json", tmp_path / "1.bundle"
    for name in ("root", "signing"):
        export("keygen", "--out", keys, "--name", name)
    public = ("--root", keys / "root.pub", "--bundle", keys / "signing.pub")
    export("trust", "--out", trust, "--counter", 1, *public, "--key", keys / "root.key")
    terms = ("--version", "1.0.0", "--counter", 1, "--expires", "2999-01-01", "--for", "MINE_ACTION")
    terms = (*terms, "--prior-of", "area_risk_28d")
    export("bundle", "--dataset", "simulated", *terms, "--key", keys / "signing.key", "--out", bundle)
    return bundle, trust


def test_the_chains_models_go_to_a_device_and_score_there_as_they_do_at_home(small_chain, signed, tmp_path):
    bundle, trust = signed

    def device(*arguments, **options):
        command = [sys.executable, "-m", "threat_scorer.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    state = tmp_path / "state"
    assert device("trust", trust, "--state", state, "--as", "MINE_ACTION").returncode == 0
    installed = device("install", bundle, "--state", state)
    assert installed.returncode == 0, installed.stderr
    assert "area prior for" in installed.stdout
    for card in (small_chain.root / "reports/simulated/cards").iterdir():
        assert card.read_bytes() in bundle.read_bytes()
    assert "SIMULATED" in installed.stdout
    probability = {}
    for place in (state, small_chain.root / "models/simulated/bundle"):
        done = device("score", "--bundle", place, "--model", "sensor_threat", input=RECORD)
        assert done.returncode == 0, done.stderr
        probability[place] = json.loads(done.stdout)["probability"]
    assert len(set(probability.values())) == 1
