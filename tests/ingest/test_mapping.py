import copy

import pytest
import yaml
from support.ingest_case import INCIDENTS, changed

from pipeline import params
from pipeline.ingest.mapping.mapping import read_mapping
from pipeline.ingest.mapping.sources import read_sources
from pipeline.runtime.errors import DeclarationError
from pipeline.storage import paths
from pipeline.storage.marking import Marking, combined
from threat_scorer.bundle.manifest import Manifest, Release
from threat_scorer.scoring.contract import Marking as CarriedMarking


def fault(tmp_path, mapping):
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(mapping, allow_unicode=True), encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        read_mapping(path, measured=["voltage"])
    return str(caught.value)


def with_field(name, value):
    mapping = copy.deepcopy(INCIDENTS)
    mapping["fields"][name] = value
    return mapping


def marked(originator, partner):
    return changed(INCIDENTS, marking={**INCIDENTS["marking"], "originator": originator, "releasable_to": [partner]})


@pytest.mark.parametrize(
    ("mapping", "details"),
    [
        (changed(INCIDENTS, availableat={}), "availableat: unknown key; did you mean 'available_at'?"),
        (with_field("victim_cout", {"column": "v"}), "did you mean 'victim_count'?"),
        (
            with_field("hazard", {"column": "v", "values": {"m": "mines"}}),
            "'mines' is not one of ied, mine, uxo, unknown",
        ),
        (with_field("hazard", {"constant": "mien"}), "did you mean 'mine'?"),
        (with_field("hazard", {"column": "v", "constant": "mine"}), "exactly one of column, columns, constant"),
        (
            with_field("hazard", {"columns": ["a", "b"], "values": {"x": "mine"}}),
            "expected 2 values with ' | ' between",
        ),
        (changed(INCIDENTS, format={"kind": "csv", "encoding": "utf-7x"}), "name of a text encoding"),
        (changed(INCIDENTS, format={"kind": "csv", "delimiter": ";;"}), "expected one character"),
        (
            changed(INCIDENTS, occurred_at={"column": "d", "formats": ["%Y"], "precision": "days"}),
            "s.yaml: occurred_at.precision: got 'days'; expected 'minute', 'day', 'week', 'month' or 'year'; did you",
        ),
        (changed(INCIDENTS, occurred_at={"column": "d", "formats": ["%Y-%Q"]}), "unknown directive %Q"),
        (changed(INCIDENTS, occurred_at={"column": "d", "formats": ["iso8602"]}), "did you mean 'iso8601'?"),
        (changed(INCIDENTS, occurred_at={"column": "d", "formats": ["%Y %Y"]}), "%Y is there twice"),
        (
            changed(INCIDENTS, occurred_at={"column": "d", "formats": ["%Y"], "zone": "America/Bogata"}),
            "did you mean 'America/Bogota'?",
        ),
        (changed(INCIDENTS, occurred_at=None), "table incidents needs occurred_at"),
        (changed(INCIDENTS, available_at={}), "expected at, delay_days, or both"),
        (changed(INCIDENTS, position={"latitude": "a", "precision_m": 5}), "latitude and longitude come together"),
        (
            changed(INCIDENTS, position={"latitude": "a", "longitude": "b", "mgrs": "c", "precision_m": 5}),
            "exactly one of",
        ),
        (changed(INCIDENTS, status={"column": "s", "values": {"x": "report"}}), "status: a correction needs a key"),
        (marked("X+Y", "X"), "marking.originator: got 'X+Y'; expected the code of one partner"),
        (marked("ALL", "X"), "marking.originator: got 'ALL'; expected the code of the partner that owns the rows"),
        (marked("X", "Y+Z"), "marking.releasable_to.0: got 'Y+Z'; expected the code of one partner"),
        (marked("X", "Y\nZ"), "marking.releasable_to.0: got 'Y\\nZ'; expected the code of one partner"),
        (marked("Natural Earth", "X"), "marking.originator: got 'Natural Earth'; expected the code of one partner"),
        (marked("X" * 41, "X"), "expected the code of one partner: at most 40 letters A to Z, digits, _ and -"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_key_and_the_expected_value(tmp_path, mapping, details):
    message = fault(tmp_path, mapping)
    assert "s.yaml" in message
    assert details in message


def test_every_shipped_mapping_is_valid():
    every = {name for modality in params.load().modalities.values() for name in modality}
    shipped = sorted(paths.SOURCES.glob("*.yaml"))
    assert len(shipped) >= 17
    for path in shipped:
        mapping = read_mapping(path, measured=every)
        assert mapping.about, path


@pytest.mark.parametrize("dataset", params.load().datasets)
def test_a_bundle_can_carry_the_joint_marking_of_all_sources_of_a_dataset(dataset):
    declared = params.load()
    mappings = read_sources(declared.dataset(dataset).sources, paths.SOURCES, measured=declared.measured(dataset))
    joint = combined(Marking.of(vars(mapping.marking)) for mapping in mappings.values())
    release = Release(
        name=dataset,
        version="1",
        counter=1,
        dataset=dataset,
        simulated=False,
        not_before="2026-01-01T00:00:00Z",
        expires="2026-02-01T00:00:00Z",
        recipients=joint.releasable_to,
        marking=CarriedMarking(joint.originator, joint.releasable_to, joint.tlp),
        prior=None,
    )
    manifest = Manifest(release, {"model.onnx": "0" * 64})
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_value_mapped_to_nothing_is_missing_and_not_unmapped(tmp_path):
    path = tmp_path / "s.yaml"
    mapping = with_field("victim_count", {"column": "v", "values": {"several": None, "one": "1"}})
    path.write_text(yaml.safe_dump(mapping), encoding="utf-8")
    assert read_mapping(path, measured=[]).fields["victim_count"].values == {"several": None, "one": "1"}
