"""From a key to a device: what headquarters types and what a technician types, as commands."""

import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.signed_bundle import Headquarters
from support.tiny_bundle import AREA, CONTRACT, write_bundle

from pipeline.runtime.errors import StageError
from pipeline.sign import commands, release
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from threat_scorer import cli
from threat_scorer.bundle import signed
from threat_scorer.bundle import trust as trusts
from threat_scorer.bundle.signed import Requirements
from threat_scorer.marking import Marking
from threat_scorer.scoring.scorer import Scorer

ROOT = Path(__file__).parents[3]
SIGNER = """
import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
key = load_pem_private_key(open(sys.argv[1], "rb").read(), None)
sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read()))
"""


@pytest.fixture
def office(tmp_path, monkeypatch):
    """Stand in a folder with an exported bundle, a root key and a key that signs bundles."""
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "models/tiny/bundle", CONTRACT, AREA)
    paths = DatasetPaths("tiny")
    paths.features("area_risk_28d").parent.mkdir(parents=True)
    shutil.move(Headquarters(tmp_path).features(), paths.features("area_risk_28d"))
    write_cards(paths)
    for name in ("root", "signing"):
        commands.main(["keygen", "--out", "keys", "--name", name])
    return tmp_path


def write_cards(paths):
    for model in paths.bundle.glob("*.onnx"):
        store.write_bytes(f"# What it is for\n\nonnx: {store.digest(model)}\n".encode(), paths.card(model.stem))


def trust(counter=1, *more):
    out = f"trust-{counter}.json"
    listed = more or ("--bundle", "keys/signing.pub")
    signer = ("--root", "keys/root.pub", "--key", "keys/root.key")
    commands.main(["trust", "--out", out, "--counter", str(counter), *listed, *signer])
    return out


def sign(version, counter, *more, key=("--key", "keys/signing.key")):
    options = ["--dataset", "tiny", "--version", version, "--counter", str(counter), "--expires", "2999-01-01"]
    commands.main(["bundle", *options, *key, *more])
    return f"dist/tiny-{version}.bundle"


def device(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_a_private_key_is_for_its_owner_alone_and_never_written_over(office):
    assert stat.S_IMODE((office / "keys/root.key").stat().st_mode) == 0o600
    before = (office / "keys/root.key").read_bytes()
    with pytest.raises(StageError, match="never written over"):
        commands.main(["keygen", "--out", "keys", "--name", "root"])
    assert (office / "keys/root.key").read_bytes() == before


@pytest.mark.parametrize("place", [".", "models/deep/down"])
def test_no_private_key_is_made_inside_a_project(place, tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match="inside the project"):
        commands.main(["keygen", "--out", place])
    with pytest.raises(StageError, match="inside the project"):
        commands.main(["keygen", "--out", str(ROOT / "keys")])
    assert not list(tmp_path.rglob("*.key"))


def test_from_a_key_to_a_score_through_an_update_and_a_theft(office, capfd):
    first, second = sign("1.0", 1), sign("1.1", 2)
    assert device("trust", trust(), "--state", "state", "--as", "ALPHA") == 0
    assert device("slots", "--state", "state") == 2
    assert device("verify", first, "--state", "state") == 0
    for bundle in (first, second):
        assert device("install", bundle, "--state", "state") == 0
    assert device("install", first, "--state", "state") == 2
    assert "refused (older)" in capfd.readouterr().err
    assert device("verify", first, "--state", "state") == 2
    assert "refused (older)" in capfd.readouterr().err
    assert device("slots", "--state", "state") == 0
    assert device("info", "--bundle", "state") == 0
    assert "bundle tiny-1.1-" in capfd.readouterr().out
    assert device("rollback", "--state", "state") == 0
    assert device("info", "--bundle", "state") == 0
    assert "bundle tiny-1.0-" in capfd.readouterr().out
    Path("state/a.bundle").write_bytes(b"damaged")
    assert device("slots", "--state", "state") == 1
    assert "FELL BACK: slot a" in capfd.readouterr().out
    assert device("info", "--bundle", "state") == 0
    assert "fell back to slot b" in capfd.readouterr().err
    assert device("wipe", "--state", "state", "--yes") == 0
    assert device("info", "--bundle", "state") == 2


def test_verify_says_which_rule_is_broken(office, capfd):
    keys = trust()
    assert device("verify", sign("1.0", 1), "--trust", keys) == 0
    cases = {
        "expired": sign("2", 2, "--not-before", "2001-01-01", "--expires", "2002-01-01"),
        "not-yet-valid": sign("3", 3, "--not-before", "2998-01-01"),
        "not-for-us": sign("4", 4, "--for", "BRAVO"),
        "unknown-key": sign("5", 5, key=("--key", "keys/root.key")),
    }
    for reason, bundle in cases.items():
        capfd.readouterr()
        assert device("verify", bundle, "--trust", keys, "--as", "ALPHA") == 2
        captured = capfd.readouterr()
        assert captured.err.startswith(f"threat-scorer: refused ({reason}): {bundle}")
        assert captured.out == ""
    revoked = trust(2, "--revoked-bundle", "keys/signing.pub")
    assert device("verify", "dist/tiny-1.0.bundle", "--trust", revoked) == 2
    assert "refused (revoked-key)" in capfd.readouterr().err
    assert device("verify", "models/tiny/bundle/area_risk_28d.onnx", "--trust", keys) == 2
    assert "refused (malformed)" in capfd.readouterr().err


def test_a_signer_may_be_a_command_so_that_the_key_stays_where_it_is(office):
    Path("signer.py").write_text(SIGNER)
    with_key = Path(sign("1.0", 1, "--not-before", "2026-01-01")).read_bytes()
    command = f"{sys.executable} signer.py keys/signing.key"
    key = ("--signer", command, "--public", "keys/signing.pub")
    assert Path(sign("1.0", 1, "--not-before", "2026-01-01", key=key)).read_bytes() == with_key


@pytest.mark.parametrize(
    ("command", "message"),
    [("cat", "no signature under key"), ("false", "ended with status 1"), ("/no/such", "No such file")],
)
def test_a_signer_that_does_not_sign_is_named_and_nothing_is_written(office, command, message):
    with pytest.raises(StageError, match=message):
        sign("1.0", 1, key=("--signer", command, "--public", "keys/signing.pub"))
    assert not Path("dist").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--version", "../1"], "manifest version"),
        (["--counter", "0"], "manifest counter"),
        (["--expires", "2001-01-01"], "manifest expires"),
        (["--dataset", "nowhere"], "run the export stage first"),
        (["--key", "keys/root.key"], "several keys"),
        (["--public", "keys/root.pub"], "expected both"),
    ],
)
def test_a_decision_that_cannot_be_kept_is_refused_by_name(office, arguments, message):
    with pytest.raises(StageError, match=message):
        sign("1.0", 1, *arguments)


def test_each_models_card_goes_along_and_no_private_key_does(office, capsys):
    data = Path(sign("1.0", 1)).read_bytes()
    cards = [DatasetPaths("tiny").card(model.stem) for model in DatasetPaths("tiny").bundle.glob("*.onnx")]
    assert len(cards) == 2
    assert all(card.read_bytes() in data for card in cards)
    assert b"PRIVATE" not in data
    assert device("verify", "dist/tiny-1.0.bundle", "--trust", trust()) == 0
    Path("dist/changed.bundle").write_bytes(data.replace(b"# What it is for", b"# What it is not"))
    assert device("verify", "dist/changed.bundle", "--trust", "trust-1.json") == 2
    assert "refused (altered): dist/changed.bundle: area_risk_28d.md: sha256" in capsys.readouterr().err


def test_a_model_without_its_card_or_with_another_ones_does_not_leave(office):
    card = DatasetPaths("tiny").card("sensor_threat")
    card.write_text("# A card of the model before\n")
    with pytest.raises(StageError, match=r"sensor_threat\.md: does not name .*sensor_threat\.onnx, sha256:"):
        sign("1.0", 1)
    card.unlink()
    with pytest.raises(StageError, match=r"sensor_threat\.md: no such file; no model goes to the field without"):
        sign("1.0", 1)
    sign("1.0", 1, "--model", "area_risk_28d")


def test_a_trust_file_that_no_device_would_take_is_not_written(office):
    with pytest.raises(StageError, match="sign with a key that is given as --root"):
        commands.main(
            ["trust", "--out", "t.json", "--counter", "1", "--root", "keys/root.pub", "--key", "keys/signing.key"]
        )
    assert not Path("t.json").exists()


def test_a_bundle_without_its_prior_is_made_on_purpose_only(office):
    shutil.rmtree("data")
    with pytest.raises(StageError, match="--no-prior"):
        sign("1.0", 1)
    assert b"prior_cells" not in Path(sign("1.0", 1, "--no-prior")).read_bytes()
    assert device("verify", "dist/tiny-1.0.bundle", "--trust", trust()) == 0


def marked(originator, releasable_to, tlp):
    return replace(CONTRACT, marking=Marking(originator, releasable_to, tlp))


def test_a_bundle_carries_the_most_restrictive_marking_of_its_models():
    combined = release.most_restrictive([marked("A+B", ("B", "C"), "GREEN"), marked("B", ("ALL",), "AMBER")])
    assert combined == Marking("A+B", ("B", "C"), "AMBER")


def test_an_originator_gets_a_bundle_only_if_it_may_have_every_row_behind_it():
    """B's rows are not for A, so A may not have what was made from them and from its own."""
    shared = release.most_restrictive([marked("A", ("B", "C"), "GREEN"), marked("B", ("C",), "AMBER")])
    assert shared == Marking("A+B", ("B", "C"), "AMBER")
    assert release.recipients(shared, None) == ("B", "C")
    assert release.recipients(shared, "C") == ("C",)
    for partner in "AD":
        with pytest.raises(StageError, match=f"--for {partner}: the models may go to B C only"):
            release.recipients(shared, partner)
    assert release.recipients(Marking("A", ("ALL",), "CLEAR"), "D") == ("D",)
    assert release.recipients(Marking("A", (), "RED"), None) == ("A",)


def test_a_bundle_that_nobody_may_have_is_not_signed():
    secrets = release.most_restrictive([marked("A", ("C",), "RED"), marked("B", ("D",), "RED")])
    for partner in (None, "A"):
        with pytest.raises(StageError, match=r"TLP:RED, releasable to nobody, from A\+B, leaves no recipient"):
            release.recipients(secrets, partner)


def test_the_export_command_leads_to_them(tmp_path):
    def export(*arguments):
        command = [sys.executable, "-m", "pipeline.sign", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = export("keygen", "--out", str(tmp_path / "keys"))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["signing.key", "signing.pub"]
    done = export("keygen", "--out", ".")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_a_bundle_has_the_requested_models_and_the_prior_of_one_that_stays_behind(office):
    complete = loaded(sign("1.0.0", 1))
    assert set(complete.contracts) == {"area_risk_28d", "sensor_threat"}
    small = loaded(sign("2.0.0", 2, "--model", "sensor_threat"))
    assert set(small.contracts) == {"sensor_threat"}
    assert (small.prior.cells == complete.prior.cells).all()
    with pytest.raises(StageError, match="got no model sonar; expected one of area_risk_28d, sensor_threat"):
        sign("3.0.0", 3, "--model", "sonar")


def test_with_several_horizons_the_priors_must_be_named(office):
    write_bundle(office / "models/tiny/bundle", replace(AREA, model="area_risk_7d", horizon_days=7))
    write_cards(DatasetPaths("tiny"))
    with pytest.raises(StageError, match="got several models of area risk; expected --prior-of one of area_risk_28d"):
        sign("1.0.0", 1)
    sign("1.0.0", 1, "--no-prior")
    assert loaded(sign("1.1.0", 2, "--prior-of", "area_risk_28d")).prior is not None
    with pytest.raises(StageError, match="got area_risk_9d; expected --prior-of one of area_risk_28d, area_risk_7d"):
        sign("1.2.0", 3, "--prior-of", "area_risk_9d")


def loaded(path):
    trusted = trusts.read(Path(trust()).read_bytes(), "trust")
    return Scorer.of(signed.read(Path(path), trusted, Requirements(datetime.now(UTC), None)).files)
