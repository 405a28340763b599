"""The folder that the export stage wrote, and a person's decision -> one signed file."""

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from pipeline.runtime.errors import StageError
from pipeline.sign import keys, prior
from pipeline.sign.keys import Signer
from pipeline.storage import marking as markings
from pipeline.storage import store
from threat_scorer.bundle import archive, signed
from threat_scorer.bundle.folder import read_bundle
from threat_scorer.bundle.manifest import PAYLOAD_TYPE, Manifest, ManifestError, Release, write_time
from threat_scorer.errors import BundleError
from threat_scorer.marking import Marking
from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.scorer import Scorer


@dataclass(frozen=True)
class Decision:
    """The decision of the person who signs."""

    name: str
    version: str
    counter: int
    not_before: datetime
    expires: datetime
    partner: str | None
    """The only recipient; None for everyone that the marking allows."""


def members(
    folder: Path,
    decision: Decision,
    *,
    only: Collection[str] = (),
    cards: Mapping[str, Path] = MappingProxyType({}),
    prior_rows: tuple[str, Path] | None = None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest of a release, and its members by name, in order.

    Parameters
    ----------
    folder
        As the export stage wrote it: it is loaded and tested on its golden rows first.
    decision
        Name, version, counter, dates and recipient of the release.
    only
        Names of the models that go in; all of them by default. A device holds every model of its bundle in memory.
    cards
        Model cards by model, to go in under their names.
    prior_rows
        A model of area risk and the file of its rows, for a prior to go in: see `prior.of_latest_cutoff`.

    Raises
    ------
    StageError
        The folder does not load or lacks a model, the decision cannot be kept, or the marking does not allow the
        partner.
    """
    try:
        files = read_bundle(folder)
        scorer = Scorer.of(files)
    except BundleError as error:
        raise StageError(f"{error}; run the export stage first") from None
    unknown = sorted(set(only) - scorer.contracts.keys())
    if unknown:
        raise StageError(f"{folder}: got no model {unknown[0]}; expected one of {', '.join(scorer.contracts)}")
    carried = [name for name in scorer.contracts if not only or name in only]
    contracts = [scorer.contracts[name] for name in dict.fromkeys([*carried, *(prior_rows or ())[:1]])]
    made = prior.of_latest_cutoff(*prior_rows, scorer) if prior_rows else None
    content = {f"{name}.onnx": files.models[name] for name in carried}
    content |= {cards[name].name: _read(cards[name]) for name in carried if name in cards}
    content |= made.members if made else {}
    marking = most_restrictive(contracts)
    release = Release(
        name=decision.name,
        version=decision.version,
        counter=decision.counter,
        dataset=contracts[0].dataset,
        simulated=contracts[0].simulated,
        not_before=write_time(decision.not_before),
        expires=write_time(decision.expires),
        recipients=recipients(marking, decision.partner),
        marking=marking,
        prior=made.terms if made else None,
    )
    content = dict(sorted(content.items()))
    manifest = Manifest(release, {name: hashlib.sha256(data).hexdigest() for name, data in content.items()})
    try:
        return Manifest.from_json(manifest.to_json()), content  # nothing is signed that no device would read
    except ManifestError as error:
        raise StageError(f"{error}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}") from None


def most_restrictive(contracts: Sequence[Contract]) -> Marking:
    """Return the marking of a file with all the models."""
    return Marking(**asdict(markings.combined(markings.Marking.of(asdict(each.marking)) for each in contracts)))


def recipients(marking: Marking, partner: str | None) -> tuple[str, ...]:
    """Return the partners that may load a file with this marking, or `partner` alone if it is one of them.

    Raises
    ------
    StageError
        The marking does not allow the partner, or anybody.
    """
    rule = markings.Marking.of(asdict(marking))
    allowed = tuple(sorted(rule.audience))
    if not allowed:
        raise StageError(
            f"the marking of the models, {rule.written}, leaves no recipient; expected a partner that may have every "
            "row behind them: sign fewer models, with --model"
        )
    if partner is None:
        return allowed
    if not rule.allows(partner):
        raise StageError(f"--for {partner}: the models may go to {' '.join(allowed)} only, by their marking")
    return (partner,)


def write(path: Path, manifest: Manifest, content: Mapping[str, bytes], signer: Signer) -> None:
    """Sign a manifest and write the bundle; the same manifest and key give the same bytes.

    Parameters
    ----------
    path
        Of the bundle.
    manifest, content
        As from `members`.
    signer
        Signs the manifest.

    Raises
    ------
    StageError
        The signer failed.
    """
    envelope = keys.sign(PAYLOAD_TYPE, manifest.to_json(), [signer])
    file = io.BytesIO()
    archive.write(file, {signed.MANIFEST: envelope.to_json(), **content})
    with store.replacing(path) as new:
        new.write_bytes(file.getvalue())
