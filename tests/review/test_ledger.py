"""The ledger gives every decision back, and refuses a file that somebody has changed."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.review import ledger, reviewers
from pipeline.review.ledger import Anchor, Decision, LedgerError
from pipeline.runtime.errors import StageError

DECISION = Decision(
    at="2026-01-01T12:00:00+00:00",
    action="promote",
    by="reviewer-1",
    reason=None,
    dataset="simulated",
    model="area_risk_28d",
    model_digest="sha256:a",
    onnx_digest="sha256:b",
    replaces=None,
    verdict=[{"rule": "calibrated", "holds": True, "got": "0.01", "expected": "at most 0.02"}],
    evidence={"fit": "sha256:c"},
    git_commit="d",
)


def decision(day: int, **changes) -> Decision:
    return dataclasses.replace(DECISION, at=f"2026-01-{day:02}T12:00:00+00:00", **changes)


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> tuple[Path, dict, Anchor]:
    """Return a ledger of six decisions by two reviewers, their public keys, and the anchor in MLflow."""
    folder = tmp_path_factory.mktemp("ledger")
    with pytest.MonkeyPatch.context() as patch:
        (folder / "project").mkdir()
        patch.chdir(folder / "project")
        patch.setenv("CIED_REVIEW_KEYS", str(folder / "private"))
        for name in ("reviewer-1", "reviewer-2"):
            reviewers.make_key(name)
        for day in range(1, 7):
            last = ledger.append(
                decision(day, by="reviewer-2" if day % 2 else "reviewer-1", model_digest=f"sha256:{day}")
            )
        keys = reviewers.trusted_keys()
    return folder / "project" / ledger.LEDGER, keys, Anchor(last.number, last.digest, "MLflow")


def test_decisions_are_read_back_as_written(signed) -> None:
    path, keys, anchor = signed
    entries = ledger.read([anchor], path, keys)
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[3].decision == decision(4, by="reviewer-1", model_digest="sha256:4")


@given(data=st.data())
def test_any_other_bytes_are_refused(signed, tmp_path_factory, data) -> None:
    path, keys, anchor = signed
    lines = path.read_bytes().splitlines(keepends=True)
    line = st.integers(0, len(lines) - 1)
    match data.draw(st.sampled_from(["change", "remove", "move", "repeat", "cut"])):
        case "change":
            content = bytearray(b"".join(lines))
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
            changed = bytes(content)
        case "remove":
            removed = data.draw(st.sets(line, min_size=1))
            changed = b"".join(text for i, text in enumerate(lines) if i not in removed)
        case "move":
            changed = b"".join(data.draw(st.permutations(lines).filter(lambda moved: moved != lines)))
        case "repeat":
            i = data.draw(line)
            changed = b"".join([*lines[: i + 1], lines[i], *lines[i + 1 :]])
        case "cut":
            changed = b"".join(lines)[: data.draw(st.integers(0, path.stat().st_size - 1))]
    file = tmp_path_factory.mktemp("changed") / "ledger.jsonl"
    file.write_bytes(changed)
    with pytest.raises(LedgerError, match=r"ledger\.jsonl"):
        ledger.read([anchor], file, keys)


def test_without_the_anchor_a_cut_tail_would_go_unseen(signed, tmp_path) -> None:
    path, keys, anchor = signed
    shorter = tmp_path / "ledger.jsonl"
    shorter.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    assert len(ledger.read([], shorter, keys)) == 4
    with pytest.raises(LedgerError, match=r"line 6: got no such line; expected sha256:.*MLflow remembers"):
        ledger.read([anchor], shorter, keys)


def test_a_signature_by_another_reviewer_is_refused(signed, tmp_path) -> None:
    path, keys, _ = signed
    with pytest.raises(LedgerError, match="line 1: the signature is not that of 'reviewer-2'"):
        ledger.read([], path, {"reviewer-1": keys["reviewer-1"], "reviewer-2": keys["reviewer-1"]})
    with pytest.raises(LedgerError, match="line 1: the signature is not that of 'reviewer-2'"):
        ledger.read([], path, {"reviewer-1": keys["reviewer-1"]})


@pytest.mark.parametrize(
    ("moment", "digest"),
    [
        ("2025-12-31T23:59", None),
        ("2026-01-01T12:00", "sha256:1"),
        ("2026-01-04T00:00", "sha256:3"),
        (None, "sha256:6"),
    ],
)
def test_the_model_in_the_field_on_a_day(signed, moment, digest) -> None:
    path, keys, _ = signed
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC) if moment else None
    entry = ledger.in_field(ledger.read([], path, keys), at=at).get(("simulated", "area_risk_28d"))
    assert (entry and entry.decision.model_digest) == digest


@pytest.fixture
def reviewer(tmp_path, monkeypatch) -> str:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("CIED_REVIEW_KEYS", str(tmp_path / "private"))
    reviewers.make_key("reviewer-1")
    return "reviewer-1"


def test_a_clock_that_went_back_is_refused(reviewer) -> None:
    ledger.append(decision(2))
    with pytest.raises(LedgerError, match="before the last decision; expected 2026-01-02T12:00:00"):
        ledger.append(decision(1))


def test_nothing_is_added_to_a_ledger_that_does_not_verify(reviewer) -> None:
    ledger.append(decision(1))
    fields = json.loads(ledger.LEDGER.read_text())
    ledger.LEDGER.write_text(json.dumps({**fields, "reason": "another"}) + "\n")
    before = ledger.LEDGER.read_bytes()
    with pytest.raises(LedgerError, match="line 1: changed since it was written"):
        ledger.append(decision(2))
    assert ledger.LEDGER.read_bytes() == before


def test_a_private_key_never_lies_in_the_project_or_open_to_others(reviewer, monkeypatch) -> None:
    private = reviewers.private_keys() / "reviewer-1.pem"
    assert private.stat().st_mode & 0o077 == 0
    assert b"PRIVATE" not in (reviewers.PUBLIC_KEYS / "reviewer-1.pem").read_bytes()
    monkeypatch.setenv("CIED_REVIEW_KEYS", "keys")
    with pytest.raises(StageError, match="inside the project; expected a folder outside of it"):
        reviewers.make_key("reviewer-2")


def test_a_reviewer_without_the_right_key_cannot_sign(reviewer) -> None:
    with pytest.raises(StageError, match="no such key; expected one made by"):
        ledger.append(decision(1, by="reviewer-2"))
    reviewers.make_key("reviewer-2")
    (reviewers.private_keys() / "reviewer-1.pem").write_bytes(
        (reviewers.private_keys() / "reviewer-2.pem").read_bytes()
    )
    with pytest.raises(StageError, match="is not the other half of"):
        ledger.append(decision(1))
    with pytest.raises(StageError, match="there is a key of that name already"):
        reviewers.make_key("reviewer-1")
    with pytest.raises(StageError, match="expected lower-case letters"):
        reviewers.make_key("../reviewer-1")
