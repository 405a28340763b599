"""The state folder of a device: updates, rollbacks and power cuts leave it with a bundle that loads."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.power_cut import Recorder, bring_back
from support.signed_bundle import END, NOW, START, Headquarters, listed, new_signer, trust_file

from threat_scorer.device import slots
from threat_scorer.device.provisioning import provision, wipe
from threat_scorer.errors import BundleError, Refused
from threat_scorer.scoring.scorer import Scorer


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    return Headquarters(tmp_path_factory.mktemp("headquarters"))


@pytest.fixture(scope="module")
def bundles(office):
    return {counter: office.bundle(counter) for counter in (1, 2, 3)}


@pytest.fixture
def device(office, tmp_path):
    folder = tmp_path / "state"
    provision(folder, office.trust_file(), partner=None, now=NOW)
    return folder


def version(folder, now=NOW):
    return int(slots.load(folder, now=now).manifest.release.version)


def refusal(call, *arguments, **options):
    with pytest.raises(Refused) as caught:
        call(*arguments, **options)
    return caught.value.reason


def test_a_bare_device_says_that_nothing_is_installed(device, tmp_path):
    assert refusal(slots.load, device, now=NOW) == "nothing-installed"
    with pytest.raises(BundleError, match="expected a state folder"):
        slots.load(tmp_path, now=NOW)


def test_each_install_goes_to_the_other_slot(device, bundles):
    assert [slots.install(device, bundles[n], now=NOW).slot for n in (1, 2, 3)] == ["a", "b", "a"]
    assert version(device) == 3
    assert {path.name for path in device.iterdir()} == {"a.bundle", "b.bundle", "state.json", "trust.json"}


def test_what_the_device_stores_is_for_its_owner_alone(device, bundles):
    slots.install(device, bundles[1], now=NOW)
    assert {oct(path.stat().st_mode & 0o777) for path in device.iterdir()} == {"0o600"}
    assert device.stat().st_mode & 0o777 == 0o700


def test_nothing_older_is_installed_not_even_after_a_rollback(device, bundles):
    slots.install(device, bundles[2], now=NOW)
    slots.install(device, bundles[3], now=NOW)
    assert slots.roll_back(device, now=NOW).manifest.release.counter == 2
    assert version(device) == 2
    assert refusal(slots.install, device, bundles[1], now=NOW) == "older"
    assert refusal(slots.install, device, bundles[2], now=NOW) == "older"
    assert slots.install(device, bundles[3], now=NOW).manifest.release.counter == 3


def test_another_bundle_with_the_counter_of_the_installed_one_is_refused(office, device, bundles):
    slots.install(device, bundles[2], now=NOW)
    (office.folder / "again").mkdir(exist_ok=True)
    other = Headquarters(office.folder / "again", office.root, office.signer)
    longer = other.bundle(2, expires=END + timedelta(days=1))
    assert refusal(slots.install, device, longer, now=NOW) == "older"


def test_a_rollback_needs_something_to_go_back_to(device, bundles):
    assert refusal(slots.roll_back, device, now=NOW) == "nothing-installed"
    slots.install(device, bundles[1], now=NOW)
    assert refusal(slots.roll_back, device, now=NOW) == "nothing-installed"


def test_a_bundle_that_fails_its_golden_rows_is_not_installed_and_leaves_nothing(device, bundles, monkeypatch):
    slots.install(device, bundles[1], now=NOW)
    before = {path.name: path.read_bytes() for path in device.iterdir()}
    real = Scorer.of

    def unlike_device(files):
        if files.release.counter == 2:
            raise BundleError("golden row 0: unlike device")
        return real(files)

    monkeypatch.setattr(Scorer, "of", unlike_device)
    assert refusal(slots.install, device, bundles[2], now=NOW) == "failed-test"
    assert {path.name: path.read_bytes() for path in device.iterdir()} == before


def test_it_falls_back_by_itself_and_says_why(device, bundles):
    slots.install(device, bundles[1], now=NOW)
    slots.install(device, bundles[2], now=NOW)
    damaged = bytearray((device / "b.bundle").read_bytes())
    damaged[damaged.index(b"threat_scorer_golden")] ^= 1
    (device / "b.bundle").write_bytes(damaged)
    loaded = slots.load(device, now=NOW)
    assert loaded.manifest.release.version == "1"
    assert loaded.fell_back.startswith("slot b: refused (altered)")
    # and the repair goes over the damaged slot, not over the one that works
    assert slots.install(device, bundles[2], now=NOW).slot == "b"
    assert version(device) == 2


def test_a_bundle_that_kills_the_scorer_at_every_start_is_given_up(device, bundles, monkeypatch):
    slots.install(device, bundles[1], now=NOW)
    slots.install(device, bundles[2], now=NOW)

    def killed(_):
        raise KeyboardInterrupt  # like a signal: nothing in the loader may catch it

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "of", killed)
        for _ in range(slots.STARTS_ON_TRIAL):
            with pytest.raises(KeyboardInterrupt):
                slots.load(device, now=NOW)
    loaded = slots.load(device, now=NOW)
    assert (loaded.slot, loaded.fell_back) == ("a", "slot b: started 3 times without getting ready")


def test_one_good_start_ends_the_trial(device, bundles, monkeypatch):
    slots.install(device, bundles[1], now=NOW)
    assert version(device) == 1
    before = (device / "state.json").stat().st_mtime_ns
    for _ in range(slots.STARTS_ON_TRIAL + 1):
        assert slots.load(device, now=NOW).fell_back is None
    assert (device / "state.json").stat().st_mtime_ns == before, "a start writes nothing once the trial is over"


def test_a_full_disk_stops_an_update_but_no_start(device, bundles, monkeypatch):
    slots.install(device, bundles[1], now=NOW)
    slots.install(device, bundles[2], now=NOW)
    before = {path.name: path.read_bytes() for path in device.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert version(device) == 2
    with pytest.raises(BundleError, match="No space left"):
        slots.install(device, bundles[3], now=NOW)
    assert {name: (device / name).read_bytes() for name in before} == before
    assert not list(device.glob("*.bundle.new"))


def test_a_bundle_put_into_a_slot_by_hand_is_not_loaded(device, bundles):
    slots.install(device, bundles[2], now=NOW)
    shutil.copy(bundles[1], device / "a.bundle")
    assert refusal(slots.load, device, now=NOW) == "nothing-installed"


def test_an_expired_bundle_is_not_loaded_and_a_clock_set_back_does_not_help(office, device):
    soon = NOW + timedelta(days=1)
    slots.install(device, office.bundle(4, expires=soon), now=soon - timedelta(hours=1))
    slots.install(device, office.bundle(5, expires=soon + timedelta(days=9)), now=soon)
    assert version(device, now=datetime(1970, 1, 1, tzinfo=UTC)) == 5  # no battery in the clock
    assert refusal(slots.roll_back, device, now=START) == "expired"


def test_a_device_belongs_to_one_partner(office, tmp_path):
    folder = tmp_path / "state"
    provision(folder, office.trust_file(), partner="ALPHA", now=NOW)
    slots.install(folder, office.bundle(6, partner="ALPHA"), now=NOW)
    assert refusal(slots.install, folder, office.bundle(7, partner="BRAVO"), now=NOW) == "not-for-us"
    with pytest.raises(BundleError, match="wipe it first"):
        provision(folder, office.trust_file(2), partner="BRAVO", now=NOW)


def test_keys_rotate_and_are_revoked_without_a_network(office, device, bundles, tmp_path):
    slots.install(device, bundles[1], now=NOW)
    successor = new_signer()
    theirs = Headquarters(tmp_path, office.root, successor)
    fresh = theirs.bundle(2)
    assert refusal(slots.install, device, fresh, now=NOW) == "unknown-key"
    keys_listed = listed(office.root, "root"), listed(office.signer, "bundle"), listed(successor, "bundle")
    provision(device, trust_file(tmp_path / "2", 2, *keys_listed, signers=[office.root]), partner=None, now=NOW)
    slots.install(device, fresh, now=NOW)
    keys_listed = keys_listed[0], listed(office.signer, "bundle", revoked=True), keys_listed[2]
    provision(device, trust_file(tmp_path / "3", 3, *keys_listed, signers=[office.root]), partner=None, now=NOW)
    assert version(device) == 2
    assert refusal(slots.roll_back, device, now=NOW) == "revoked-key"
    assert refusal(provision, device, office.trust_file(1), partner=None, now=NOW) == "older"
    content = slots.status(device, now=NOW).slots
    assert content["b"].release.version == "2"
    assert content["a"].reason == "revoked-key"


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 9999, b'{"version": 1}', b"\xff"])
def test_a_damaged_state_file_is_an_error_with_its_name(device, text):
    (device / "state.json").write_bytes(text)
    with pytest.raises(BundleError, match=r"state\.json"):
        slots.load(device, now=NOW)


def test_a_wiped_device_is_empty(device, bundles):
    slots.install(device, bundles[1], now=NOW)
    (device / "outbox").mkdir()
    (device / "outbox" / "scores.db").write_text("scores")
    assert wipe(device)[:2] == ["state.json", "trust.json"]
    assert [path for path in device.rglob("*") if path.is_file()] == []


def test_only_a_state_folder_is_wiped(tmp_path):
    (tmp_path / "letters").write_text("mine")
    with pytest.raises(BundleError, match="expected the state folder"):
        wipe(tmp_path)
    assert (tmp_path / "letters").exists()


# --- power cuts: every state that a disk could be left in, and real kills


def recorded(folder, change):
    """Make a change; return what was recorded."""
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(folder, patch)
        change()
    assert len(recorder.steps) >= 5
    return recorder


def test_a_power_cut_in_an_update_leaves_the_old_bundle_or_the_new_one(device, bundles, tmp_path):
    slots.install(device, bundles[1], now=NOW)
    assert version(device) == 1
    update = recorded(device, lambda: slots.install(device, bundles[2], now=NOW))
    versions = []
    for number, state in enumerate(update.states):
        folder = bring_back(state, tmp_path / f"{number}")
        versions.append(version(folder))
        slots.install(folder, bundles[3], now=NOW)  # and the next update works
        assert version(folder) == 3
    assert set(versions) == {1, 2}
    # once it is reported as installed, it is
    assert {version(bring_back(state, tmp_path / f"after{n}")) for n, state in enumerate(update.last)} == {2}


def test_a_power_cut_in_the_third_update_leaves_a_bundle_although_a_slot_is_overwritten(device, bundles, tmp_path):
    slots.install(device, bundles[1], now=NOW)
    slots.install(device, bundles[2], now=NOW)
    states = recorded(device, lambda: slots.install(device, bundles[3], now=NOW)).states
    assert {version(bring_back(state, tmp_path / f"{n}")) for n, state in enumerate(states)} == {2, 3}


def test_a_power_cut_in_the_first_start_or_a_rollback_leaves_a_bundle(device, bundles, tmp_path):
    slots.install(device, bundles[1], now=NOW)
    slots.install(device, bundles[2], now=NOW)
    starts = recorded(device, lambda: slots.load(device, now=NOW)).states
    assert {version(bring_back(state, tmp_path / f"start{n}")) for n, state in enumerate(starts)} == {2}
    back = recorded(device, lambda: slots.roll_back(device, now=NOW)).states
    assert {version(bring_back(state, tmp_path / f"back{n}")) for n, state in enumerate(back)} == {1, 2}


def test_a_power_cut_while_keys_rotate_leaves_the_old_keys_or_the_new(office, device, bundles, tmp_path):
    slots.install(device, bundles[1], now=NOW)
    newer = office.trust_file(2)
    states = recorded(device, lambda: provision(device, newer, partner=None, now=NOW)).states
    counters = set()
    for number, state in enumerate(states):
        folder = bring_back(state, tmp_path / f"{number}")
        assert version(folder) == 1
        counters.add(slots.status(folder, now=NOW).trust.counter)
    assert counters == {1, 2}


def test_a_power_cut_while_a_device_is_provisioned_can_be_made_good(office, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    states = recorded(folder, lambda: provision(folder, office.trust_file(), partner="ALPHA", now=NOW)).states
    for number, state in enumerate(states):
        left = bring_back(state, tmp_path / f"{number}")
        if not (left / "state.json").exists():
            provision(left, office.trust_file(), partner="ALPHA", now=NOW)
        assert slots.status(left, now=NOW).state.partner == "ALPHA"


KILLED = 86
INSTALL = textwrap.dedent("""
    import os, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from threat_scorer.device import slots

    folder, bundle, fatal = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    step = 0

    def fatal_at(name):
        real = getattr(os, name)
        def call(*arguments, **options):
            global step
            step += 1
            if step == fatal:
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(86)
            return real(*arguments, **options)
        return call

    for name in ("write", "fsync", "replace", "unlink"):
        setattr(os, name, fatal_at(name))
    slots.install(folder, bundle, now=datetime(2026, 6, 1, tzinfo=UTC))
    """)


def test_a_process_killed_at_every_write_leaves_the_old_bundle_or_the_new_one(device, bundles, tmp_path):
    slots.install(device, bundles[1], now=NOW)
    versions = []
    for fatal in range(1, 100):
        folder = Path(shutil.copytree(device, tmp_path / f"{fatal}"))
        command = [sys.executable, "-c", INSTALL, str(folder), str(bundles[2]), str(fatal)]
        done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, check=False)
        versions.append(version(folder))
        if done.returncode == 0:
            break
        assert done.returncode == KILLED, done.stderr
    assert done.returncode == 0, "the install ends in the end"
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
    assert len(versions) > 6
