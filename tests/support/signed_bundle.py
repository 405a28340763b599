"""Headquarters in small: a root key, keys that sign bundles, trust files and signed bundles of tiny models."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.tiny_bundle import AREA, CONTRACT, write_bundle

from pipeline.sign import keys, release
from pipeline.sign.keys import Signer
from pipeline.sign.release import Decision
from threat_scorer.bundle import trust as trusts
from threat_scorer.bundle.trust import Key, Trust

CELLS = ("85283473fffffff", "8528342bfffffff", "85283477fffffff")
START, NOW, END = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 6, 12))


def new_signer() -> Signer:
    key = Ed25519PrivateKey.generate()
    return Signer(key.public_key().public_bytes_raw(), key.sign)


def listed(signer: Signer, role: str, *, revoked: bool = False) -> Key:
    return Key(base64.b64encode(signer.public_key).decode("ascii"), role, revoked)


def trust_file(path: Path, counter: int, *listed_keys: Key, signers: list[Signer]) -> Path:
    payload = Trust(trusts.VERSION, counter, listed_keys).to_json()
    path.write_bytes(keys.sign(trusts.PAYLOAD_TYPE, payload, signers).to_json())
    return path


@dataclass
class Headquarters:
    """Keys and a folder to write into."""

    folder: Path
    root: Signer = field(default_factory=new_signer)
    signer: Signer = field(default_factory=new_signer)

    def trust_file(self, counter: int = 1, **named: bool) -> Path:
        """Write a trust file with both keys; `revoked=True` revokes the one that signs bundles."""
        keys_listed = listed(self.root, "root"), listed(self.signer, "bundle", **named)
        return trust_file(self.folder / f"trust-{counter}.json", counter, *keys_listed, signers=[self.root])

    @property
    def trust(self) -> Trust:
        return trusts.read(self.trust_file().read_bytes(), "trust")

    def features(self) -> Path:
        """Write rows of the area model: two cutoffs, three cells out of order; one is new at the latest."""
        path = self.folder / "area_risk.parquet"
        cutoffs = [datetime(2025, 12, 1, tzinfo=UTC)] * 2 + [START] * 3
        rows = {
            "cell": [CELLS[0], CELLS[1], CELLS[2], CELLS[0], CELLS[1]],
            "cutoff": pa.array(cutoffs, pa.timestamp("us", "UTC")),
            "ied_count_decay30d": pa.array([1, 1, 0, 1, 0], pa.float32()),
        }
        pq.write_table(pa.table(rows), path)
        return path

    def bundle(
        self,
        counter: int,
        *,
        signer: Signer | None = None,
        not_before: datetime = START,
        expires: datetime = END,
        partner: str | None = None,
    ) -> Path:
        """Sign a bundle of tiny models whose version is its counter."""
        models = write_bundle(self.folder / "models", CONTRACT, AREA)
        decision = Decision("tiny", f"{counter}", counter, not_before, expires, partner)
        path = self.folder / f"tiny-{counter}.bundle"
        release.write(
            path,
            *release.members(models, decision, prior_rows=("area_risk_28d", self.features())),
            signer or self.signer,
        )
        return path
