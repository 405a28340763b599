"""What comes from a mirror is what its list says, whole, or nothing and a message that says what to do."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params
from pipeline.acquire import mirror
from pipeline.runtime.errors import DeclarationError, StageError

ROOT = Path(__file__).parents[2]
FILES = {"acme/a.csv": b"id\n1\n", "acme/deep/b.jsonl": b'{"id": 1}\n'}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one real dataset `acme` of two files, chosen without a cut, and its mirror beside it."""
    declared = yaml.safe_load((ROOT / "params.yaml").read_text())
    declared["run"] = {"dataset": "acme", "models": ["area_risk_28d"], "cut": "none"}
    declared["datasets"]["acme"] = {**declared["datasets"]["colombia"], "sources": ["acme_a", "acme_b"]}
    declared["simulate"]["size"] = "small"
    folder = tmp_path / "project"
    (folder / "data/sources").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(declared))
    for source, file in zip(("acme_a", "acme_b"), FILES, strict=True):
        (folder / f"data/sources/{source}.yaml").write_text(f"file: {file}\nsomething: {{of: ingest}}\n")
    for name, content in FILES.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_list(tmp_path / "mirror")
    return folder


def write_list(folder: Path) -> None:
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "SHA256SUMS").write_text(mirror.as_list(digests))


def acquire(
    project: Path, *, dataset: str = "acme", mirror_folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DATA_MIRROR"}
    if mirror_folder:
        environment["DATA_MIRROR"] = str(mirror_folder)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "serving")])
    command = [sys.executable, "-m", "pipeline.acquire", "--dataset", dataset]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_the_mirrors_bytes_arrive_with_their_list(project: Path) -> None:
    done = acquire(project, mirror_folder=project.parent / "mirror")
    assert done.returncode == 0, done.stderr
    raw = project / "data/raw/acme"
    assert {name: (raw / name).read_bytes() for name in FILES} == FILES
    assert (raw / "SHA256SUMS").read_bytes() == (project.parent / "mirror/SHA256SUMS").read_bytes()
    assert (project / "data/truth/acme/known.json").read_text() == '{\n  "known": false\n}\n'
    assert sorted(p.name for p in (project / "data/raw").iterdir()) == ["acme"]


def test_without_a_mirror_the_message_explains_how_to_give_one(project: Path) -> None:
    refused(acquire(project), "DATA_MIRROR is not set", "acme/a.csv", "make DATASET=")


def test_a_mirror_that_does_not_exist(project: Path) -> None:
    refused(acquire(project, mirror_folder=project.parent / "nowhere"), "nowhere: no such folder", "expected a mirror")


def test_a_mirror_without_a_list(project: Path) -> None:
    (project.parent / "mirror/SHA256SUMS").unlink()
    refused(acquire(project, mirror_folder=project.parent / "mirror"), "SHA256SUMS: no such file", "sha256sum")


def test_a_file_that_is_not_listed(project: Path) -> None:
    path = project.parent / "mirror/SHA256SUMS"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "b.jsonl" not in line))
    refused(acquire(project, mirror_folder=project.parent / "mirror"), "acme/deep/b.jsonl is not listed")


def test_a_file_that_is_missing(project: Path) -> None:
    (project.parent / "mirror/acme/a.csv").unlink()
    refused(acquire(project, mirror_folder=project.parent / "mirror"), "acme/a.csv: No such file", "expected a file")


def test_a_changed_byte_stops_everything_and_leaves_the_old_files(project: Path) -> None:
    folder = project.parent / "mirror"
    assert acquire(project, mirror_folder=folder).returncode == 0
    (folder / "acme/deep/b.jsonl").write_bytes(b'{"id": 2}\n')
    got = hashlib.sha256(b'{"id": 2}\n').hexdigest()
    expected = hashlib.sha256(FILES["acme/deep/b.jsonl"]).hexdigest()
    refused(acquire(project, mirror_folder=folder), "acme/deep/b.jsonl", got, expected, "fetch it again")
    raw = project / "data/raw/acme"
    assert {name: (raw / name).read_bytes() for name in FILES} == FILES
    assert sorted(p.name for p in (project / "data/raw").iterdir()) == ["acme"]


def test_a_mirror_with_another_cut_than_chosen_is_refused(project: Path) -> None:
    path, folder = project / "params.yaml", project.parent / "mirror"
    cut = mirror.cut_of(mirror.read_list(folder))
    path.write_text(path.read_text().replace("cut: none", f"cut: {cut}"))
    assert acquire(project, mirror_folder=folder).returncode == 0
    (folder / "acme/a.csv").write_bytes(b"id\n2\n")
    write_list(folder)
    refused(acquire(project, mirror_folder=folder), "run.cut is", cut, mirror.cut_of(mirror.read_list(folder)))


def test_a_source_that_does_not_exist_is_named_with_the_nearest(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("- acme_b", "- acme_bb"))
    refused(acquire(project, mirror_folder=project.parent / "mirror"), "acme_bb", "did you mean 'acme_b'?")


@pytest.mark.parametrize("file", ["../secret.csv", "/etc/passwd", "a//b.csv", "", "3", "./a.csv"])
def test_a_mapping_cannot_reach_outside_the_mirror(project: Path, file: str) -> None:
    (project / "data/sources/acme_a.yaml").write_text(f"file: {file}\n")
    dataset = params.load(project / "params.yaml").dataset("acme")
    with pytest.raises(DeclarationError, match=r"acme_a\.yaml: file: got .*expected a path inside the mirror"):
        mirror.files_of(dataset, sources=project / "data/sources")


@pytest.mark.parametrize("line", ["nonsense", "0" * 63 + "  a.csv", "0" * 64 + " a.csv", "0" * 64 + "  "])
def test_a_line_that_is_no_digest_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  good.csv\n{line}\n")
    with pytest.raises(StageError, match=r"SHA256SUMS line 2: got .*expected 64 hex digits"):
        mirror.read_list(tmp_path)


def test_a_list_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  a.csv\n{'1' * 64}  a.csv\n")
    with pytest.raises(StageError, match=r"line 2: a\.csv is listed twice"):
        mirror.read_list(tmp_path)


names = st.from_regex(re.compile(r"[a-z]{1,8}(/[a-z]{1,8})?\.csv", re.ASCII), fullmatch=True)
digests = st.from_regex(re.compile(r"[0-9a-f]{64}", re.ASCII), fullmatch=True)


@given(st.dictionaries(names, digests, min_size=1), st.randoms(use_true_random=False), st.data())
def test_the_cut_changes_with_any_file_and_not_with_the_order(
    listing: dict[str, str], random: "st.Random", data: st.DataObject
) -> None:
    shuffled = list(listing.items())
    random.shuffle(shuffled)
    assert mirror.cut_of(dict(shuffled)) == mirror.cut_of(listing)
    name, digest = data.draw(st.sampled_from(sorted(listing))), data.draw(digests)
    changed = mirror.cut_of({**listing, name: digest})
    assert (changed == mirror.cut_of(listing)) == (digest == listing[name])


def test_sha256sum_reads_our_list_and_we_read_its(project: Path) -> None:
    tool = shutil.which("sha256sum")
    if not tool:
        pytest.skip("sha256sum is not installed")
    folder = project.parent / "mirror"
    subprocess.run([tool, "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    theirs = subprocess.run([tool, *FILES], cwd=folder, check=True, capture_output=True, text=True).stdout
    ours = mirror.read_list(folder)
    (folder / "SHA256SUMS").write_text(theirs)
    assert mirror.read_list(folder) == ours


def test_the_simulated_theatre_needs_no_mirror_and_its_truth_is_known(project: Path) -> None:
    done = acquire(project, dataset="simulated")
    assert done.returncode == 0, done.stderr
    listed = mirror.read_list(project / "data/raw/simulated")
    assert "command/incidentes.csv" in listed
    for name, digest in listed.items():
        assert hashlib.sha256((project / "data/raw/simulated" / name).read_bytes()).hexdigest() == digest
    assert (project / "data/truth/simulated/known.json").read_text() == '{\n  "known": true\n}\n'
