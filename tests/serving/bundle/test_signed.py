"""Signed bundles: what may be loaded is, and everything else is refused by the rule that it breaks."""

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.json_values import json_values
from support.signed_bundle import END, NOW, START, Headquarters, listed, new_signer, trust_file

from pipeline.sign import keys
from threat_scorer.bundle import archive, signed, trust
from threat_scorer.bundle.archive import ArchiveError
from threat_scorer.bundle.dsse import Envelope, EnvelopeError
from threat_scorer.bundle.manifest import PAYLOAD_TYPE, Manifest, ManifestError
from threat_scorer.bundle.signed import MANIFEST, Requirements
from threat_scorer.errors import BundleError, Refused
from threat_scorer.scoring.scorer import Scorer

REQUIREMENTS = Requirements(NOW, None)


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    return Headquarters(tmp_path_factory.mktemp("headquarters"))


@pytest.fixture(scope="module")
def good(office):
    return office.bundle(1)


def members(path):
    with tarfile.open(path) as file:
        return {entry.name: file.extractfile(entry).read() for entry in file}


def packed(content):
    file = io.BytesIO()
    archive.write(file, content)
    return file.getvalue()


def reason(path, office, requirements=REQUIREMENTS, trusted=None):
    with pytest.raises(Refused) as caught:
        signed.read(path, trusted or office.trust, requirements)
    assert str(caught.value).startswith(f"refused ({caught.value.reason}): ")
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.reason


def test_a_good_bundle_scores_and_says_what_it_is(office, good):
    bundle = signed.read(good, office.trust, REQUIREMENTS)
    scorer = Scorer.of(bundle.files)
    assert set(scorer.contracts) == {"area_risk_28d", "sensor_threat"}
    assert scorer.bundle.startswith("tiny-1-")
    assert scorer.release.simulated
    record = {"voltage": 0.4, "height": 0.3}
    unsigned = Scorer.load(office.folder / "models")
    assert scorer.score_record("sensor_threat", record) == unsigned.score_record("sensor_threat", record)


def test_the_same_release_and_key_give_the_same_bytes_and_tar_can_read_them(office, good):
    assert office.bundle(1).read_bytes() == good.read_bytes()
    expected = [MANIFEST, "area_risk_28d.onnx", "prior_cells.u64", "prior_log_odds.f32", "sensor_threat.onnx"]
    assert list(members(good)) == expected


def test_the_signature_is_over_an_in_toto_statement_of_every_member(good):
    content = members(good)
    statement = json.loads(Envelope.from_json(content.pop(MANIFEST)).payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    digests = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    assert digests == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def test_terms_are_kept_to_the_second(office, good):
    second = timedelta(seconds=1)
    assert reason(good, office, Requirements(START - second, None)) == "not-yet-valid"
    assert reason(good, office, Requirements(END, None)) == "expired"
    assert reason(good, office, Requirements(NOW, None, least_counter=2)) == "older"
    for now in (START, END - second):
        signed.read(good, office.trust, Requirements(now, "ANYBODY", least_counter=1))


def test_a_bundle_for_one_partner_loads_for_no_other(office):
    path = office.bundle(7, partner="ALPHA")
    signed.read(path, office.trust, Requirements(NOW, "ALPHA"))
    assert {reason(path, office, Requirements(NOW, partner)) for partner in ("BRAVO", "ALPH", None)} == {"not-for-us"}


def test_only_active_bundle_keys_count(office, good):
    assert reason(office.bundle(8, signer=new_signer()), office) == "unknown-key"
    assert reason(office.bundle(8, signer=office.root), office) == "unknown-key"
    revoked = trust.read(office.trust_file(2, revoked=True).read_bytes(), "trust")
    assert reason(good, office, trusted=revoked) == "revoked-key"


def with_envelope(good, tmp_path, change):
    content = members(good)
    content[MANIFEST] = change(Envelope.from_json(content[MANIFEST])).to_json()
    path = tmp_path / "changed.bundle"
    path.write_bytes(packed(content))
    return path


def test_an_envelope_that_was_changed_is_refused(office, good, tmp_path):
    def edited(envelope):
        return replace(envelope, payload=envelope.payload.replace(b'"counter": 1', b'"counter": 9'))

    assert reason(with_envelope(good, tmp_path, edited), office) == "altered"
    assert reason(with_envelope(good, tmp_path, lambda e: replace(e, signatures=())), office) == "unsigned"
    # the payload's type is signed with it: an envelope for another purpose is none for a bundle
    assert reason(with_envelope(good, tmp_path, lambda e: replace(e, payload_type="text/plain")), office) == "altered"
    other = keys.sign("text/plain", Envelope.from_json(members(good)[MANIFEST]).payload, [office.signer])
    assert reason(with_envelope(good, tmp_path, lambda _: other), office) == "malformed"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: content.pop(MANIFEST), "unsigned"),
        (lambda content: content.pop("area_risk_28d.onnx"), "altered"),
        (lambda content: content.update({"zebra.onnx": b"x"}), "altered"),
        (lambda content: content.update({"area_risk_28d.onnx": content["sensor_threat.onnx"]}), "altered"),
        (lambda content: content.update({"area_risk_28d.onnx": content.pop("area_risk_28d.onnx")}), "altered"),  # moved
        (lambda content: content.update({MANIFEST: b" " * 2**18 + content[MANIFEST]}), "malformed"),
        (lambda content: content.update({MANIFEST: b"{}"}), "malformed"),
    ],
)
def test_a_file_whose_members_are_not_the_signed_ones_is_refused(office, good, tmp_path, change, expected):
    content = members(good)
    change(content)
    (tmp_path / "changed.bundle").write_bytes(packed(content))
    assert reason(tmp_path / "changed.bundle", office) == expected


def test_what_is_no_archive_is_refused(office, good, tmp_path):
    path = tmp_path / "file.bundle"
    data = good.read_bytes()
    for content in (b"", b"PK\3\4" * 300, data[:-1], data + b"\0", data + b"x", data[:700]):
        path.write_bytes(content)
        assert reason(path, office) == "malformed"
    path.write_bytes(archive.END)
    assert reason(path, office) == "unsigned"
    with pytest.raises(BundleError, match="cannot be read"):
        signed.read(tmp_path / "absent", office.trust, REQUIREMENTS)


def test_a_header_is_that_of_tar_and_stays_what_it_is():
    """Devices compare headers byte for byte: no release of anything may change them."""
    header = archive.header("sensor_threat.onnx", 375567)
    assert len(header) == archive.BLOCK
    entry = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    assert (entry.name, entry.size, entry.mode, entry.type) == ("sensor_threat.onnx", 375567, 0o644, tarfile.REGTYPE)
    assert hashlib.sha256(header).hexdigest() == "f9971a735143ac035204c0c10654aeccfb36ddbc6f00b6e8faebe0bcb8f701f7"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_nothing_but_a_plain_member_is_read(kind):
    entry = tarfile.TarInfo("etc")
    entry.type, entry.linkname = kind, "/etc/passwd"
    data = entry.tobuf(tarfile.USTAR_FORMAT) + archive.END
    with pytest.raises(ArchiveError, match="canonical"):
        list(archive.members(io.BytesIO(data), len(data)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_change_of_any_byte_is_loaded(office, good, tmp_path, data):
    content = bytearray(good.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.integers(0, 600))
    content[start : start + cut] = data.draw(st.binary(max_size=600))
    path = tmp_path / "mutated.bundle"
    path.write_bytes(content)
    if bytes(content) != good.read_bytes():
        with pytest.raises(Refused):
            signed.read(path, office.trust, REQUIREMENTS)


@settings(deadline=None)
@given(st.binary(max_size=3 * archive.BLOCK))
def test_no_bytes_crash_a_reader(data):
    for read, error in (
        (lambda: list(archive.members(io.BytesIO(data), len(data))), ArchiveError),
        (lambda: Envelope.from_json(data), EnvelopeError),
        (lambda: Manifest.from_json(data), ManifestError),
        (lambda: trust.read(data, "trust"), Refused),
    ):
        with pytest.raises(error):
            read()


def paths_into(value, path=()):
    """Yield the path of every value inside a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_into(inner, (*path, key))


def put(value, path, new):
    """Return the JSON value with another in one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_signed_manifest_with_any_value_in_any_place_is_refused_or_kept(office, good, tmp_path, data):
    """The signer may err: what is signed is checked as well."""
    content = members(good)
    statement = json.loads(Envelope.from_json(content[MANIFEST]).payload)
    place = data.draw(st.sampled_from(list(paths_into(statement))))
    payload = json.dumps(put(statement, place, data.draw(json_values))).encode()
    content[MANIFEST] = keys.sign(PAYLOAD_TYPE, payload, [office.signer]).to_json()
    path = tmp_path / "odd.bundle"
    path.write_bytes(packed(content))
    try:
        bundle = signed.read(path, office.trust, REQUIREMENTS)
    except Refused:
        return
    assert Manifest.from_json(bundle.manifest.to_json()) == bundle.manifest


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_trust_file_with_any_value_in_any_place_is_refused_or_kept(data):
    root = new_signer()
    value = json.loads(trust.Trust(1, 3, (listed(root, "root"), listed(new_signer(), "bundle"))).to_json())
    place = data.draw(st.sampled_from(list(paths_into(value))))
    payload = json.dumps(put(value, place, data.draw(json_values))).encode()
    envelope = keys.sign(trust.PAYLOAD_TYPE, payload, [root]).to_json()
    try:
        read = trust.read(envelope, "trust")
    except Refused:
        return
    assert read.active("root")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_envelope_with_any_value_in_any_place_is_refused_or_kept(data):
    envelope = keys.sign(PAYLOAD_TYPE, b"{}", [new_signer()])
    value = json.loads(envelope.to_json())
    place = data.draw(st.sampled_from(list(paths_into(value))))
    try:
        read = Envelope.from_json(json.dumps(put(value, place, data.draw(json_values))).encode())
    except EnvelopeError:
        return
    assert Envelope.from_json(read.to_json()) == read


def rotated(folder, counter, *, by, roots):
    """Write a trust file that lists `roots`, signed by `by`."""
    return trust_file(folder / "t.json", counter, *(listed(root, "root") for root in roots), signers=by).read_bytes()


def test_a_root_key_hands_over_to_the_next_and_no_one_else_can(tmp_path):
    old, new, thief = new_signer(), new_signer(), new_signer()
    first = trust.read(rotated(tmp_path, 1, by=[old], roots=[old]), "first")
    second = trust.succeed(first, rotated(tmp_path, 2, by=[old, new], roots=[new]), "second")
    trust.succeed(second, rotated(tmp_path, 3, by=[new], roots=[new]), "third")

    def refused(current, data):
        with pytest.raises(Refused) as caught:
            trust.succeed(current, data, "next")
        return caught.value.reason

    assert refused(first, rotated(tmp_path, 2, by=[thief], roots=[thief])) == "unknown-key"
    # signed by the old root alone: no root of the new file has shown that its key works
    assert refused(first, rotated(tmp_path, 2, by=[old], roots=[new])) == "unknown-key"
    assert refused(second, rotated(tmp_path, 3, by=[old], roots=[old])) == "unknown-key"
    assert refused(first, rotated(tmp_path, 1, by=[old], roots=[old])) == "older"


def test_a_revoked_root_signs_nothing_more(tmp_path):
    lost, kept = new_signer(), new_signer()
    keys_listed = listed(lost, "root", revoked=True), listed(kept, "root")
    current = trust.read(trust_file(tmp_path / "t", 1, *keys_listed, signers=[kept]).read_bytes(), "current")
    with pytest.raises(Refused, match="revoked"):
        trust.succeed(current, rotated(tmp_path, 2, by=[lost], roots=[lost]), "next")
    with pytest.raises(Refused, match="revoked"):
        trust.read(trust_file(tmp_path / "t", 1, *keys_listed, signers=[lost]).read_bytes(), "own")
