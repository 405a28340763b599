"""Random changes of the files and messages that a device reads -> counts by reader; only typed errors are allowed.

A program, not a test:

    PYTHONPATH=tests python -m fuzz.fuzz --seconds 600 --seed 1

It prints how many inputs each reader refused and kept, and how the memory grew. A crash or a hang ends it with a
traceback and the seed that leads there.
"""

import argparse
import contextlib
import io
import json
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sapient_msg.bsi_flex_335_v2_0.sapient_message_pb2 import SapientMessage
from support.score_record import RECORD
from support.signed_bundle import NOW, Headquarters
from support.tiny_bundle import CONTRACT, golden, write_bundle

from threat_scorer import Scorer
from threat_scorer.bundle import archive, signed, trust
from threat_scorer.bundle.archive import ArchiveError
from threat_scorer.bundle.dsse import Envelope, EnvelopeError
from threat_scorer.bundle.manifest import Manifest, ManifestError
from threat_scorer.bundle.signed import Requirements
from threat_scorer.errors import ConfigError, Refused
from threat_scorer.run.clock import EARLIEST, Moment
from threat_scorer.run.config.peers import CotOutput, SapientOutput
from threat_scorer.run.config.reading import read_config
from threat_scorer.run.config.settings import SensorLimits
from threat_scorer.run.monitoring.health import Check, read_status, write_status
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outputs.cot import to_event
from threat_scorer.run.outputs.delivery import DeliveryError, Device
from threat_scorer.run.outputs.sapient import SapientSink
from threat_scorer.run.outputs.sparkplug_payload import BOOLEAN, STRING, Metric, PayloadError, decode, encode
from threat_scorer.run.record_scorer import RecordScorer
from threat_scorer.run.sensor_monitor import SensorMonitor, read_backgrounds
from threat_scorer.scoring.contract import Contract, ContractError
from threat_scorer.scoring.golden import Golden, GoldenError

REFUSALS = (
    Refused,
    EnvelopeError,
    ManifestError,
    ArchiveError,
    ContractError,
    GoldenError,
    ConfigError,
    PayloadError,
    DeliveryError,
)
SLOW = {"bundle": 1, "status": 4, "configuration": 4, "backgrounds": 4}
"""Inputs of a round where they are not `PER_ROUND`: these are files."""
PER_ROUND = 200
HANGS_AFTER_S = 10.0
"""For all inputs of a reader in a round."""
WARM_UP_ROUNDS = 20


def mutated(data: bytes, chances: random.Random) -> bytes:
    """Return the bytes with one to four changes: a bit, a cut, noise put in, or a passage of their own put in."""
    changed = bytearray(data)
    for _ in range(chances.randint(1, 4)):
        place, other = chances.randrange(len(changed) + 1), chances.randrange(len(changed) + 1)
        match chances.randrange(4):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chances.randrange(8)
            case 1:
                del changed[place : place + chances.randrange(1, 64)]
            case 2:
                changed[place:place] = chances.randbytes(chances.randrange(1, 32))
            case _:
                changed[place:place] = changed[other : other + chances.randrange(1, 64)]
    return bytes(changed)


def readers(folder: Path) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """Return, by name, what is changed and what reads it; a signed file that was changed must never be kept."""
    office = Headquarters(folder)
    bundle, keys = office.bundle(1).read_bytes(), office.trust
    first = next(archive.members(io.BytesIO(bundle), len(bundle)))
    envelope = bundle[first.offset : first.offset + first.size]

    def install(data: bytes) -> None:
        path = folder / "changed.bundle"
        path.write_bytes(data)
        signed.read(path, keys, Requirements(NOW, None))
        assert data == bundle, "a changed bundle was loaded"

    return {
        "manifest": (Envelope.from_json(envelope).payload, Manifest.from_json),
        "envelope": (envelope, Envelope.from_json),
        "trust file": (office.trust_file().read_bytes(), lambda data: trust.read(data, "trust")),
        "archive": (bundle[:4096], lambda data: list(archive.members(io.BytesIO(data), len(data)))),
        "bundle": (bundle, install),
    }


def running_readers(folder: Path) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """Return the readers of the process that stays."""
    bundle = write_bundle(folder / "tiny")
    scorer = Scorer.load(bundle)
    limits = SensorLimits(background_records=10, drift_records=10)
    monitor = SensorMonitor([entry.name for entry in CONTRACT.inputs], limits, {})
    record_scorer = RecordScorer(
        scorer.model("sensor_threat"), bundle="b", device="d", source="s", monitor=monitor, prior=scorer.prior
    )
    line = b'{"id": "d1", "voltage": 0.4, "height": 0.3, "observed_at": "2026-01-01T00:00:00Z", "latitude_deg": 4.5}'
    moment = Moment(EARLIEST + 1000.0, False)

    def answer(data: bytes) -> None:
        entry = record_scorer.score(data, number=1, moment=moment)
        record = json.loads(entry.body)
        to_event({**RECORD, **record}, entry.key, CotOutput(port=1))
        if entry.probability is None:
            raise ContractError("refused")  # an answer with a reason: counted as such

    def file(name: str, data: bytes) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    config = (Path(__file__).parents[2] / "serving/deploy/scorer.toml").read_bytes()
    write_status(folder / "status", [Check("model", "ok", "")], every_s=1.0, state="running")

    def status(data: bytes) -> None:
        try:
            read_status(file("status", data))
        except ValueError as error:
            raise ContractError(f"{error}") from None

    return {
        "record": (line, answer),
        "contract": (CONTRACT.to_json().encode(), lambda data: Contract.from_json(data.decode("utf-8", "replace"))),
        "golden rows": (golden(4).to_json().encode(), lambda data: Golden.from_json(data.decode("utf-8", "replace"))),
        "sparkplug": (
            encode([Metric("a", BOOLEAN, True), Metric("b", STRING, "c", historical=True)], at_ms=17, seq=3),
            decode,
        ),
        "sapient": (_acknowledgement(), _sapient_reader()),
        "configuration": (config, lambda data: read_config(file("scorer.toml", data))),
        "status": ((folder / "status").read_bytes(), status),
        "backgrounds": (
            b'{"left": {"voltage": {"mean": 0.25, "deviation": 1.5}}}',
            lambda data: read_backgrounds(file("background.json", data)),
        ),
    }


def _acknowledgement() -> bytes:
    message = SapientMessage(node_id="550e8400-e29b-41d4-a716-446655440000")
    message.registration_ack.acceptance = True
    message.registration_ack.ack_response_reason.append("welcome")
    body = message.SerializeToString()
    return len(body).to_bytes(4, "little") + body


class _Peer:
    """A socket from which `data` comes, and then no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, most: int) -> bytes:
        data, self._data = self._data[:most], self._data[most:]
        return data

    def sendall(self, data: bytes) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        pass


def _sapient_reader() -> Callable[[bytes], object]:
    device = Device("d", "b", None, lambda: 0, lambda: "ok", Log("warning", 1, to=io.StringIO()))
    sink = SapientSink(SapientOutput(port=1), device)

    def read(data: bytes) -> None:
        sink._socket, sink._rest = _Peer(data), b""
        while sink._receive(1.0):
            pass

    return read


def main() -> None:
    """Run for the time that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    end, seed = time.monotonic() + options.seconds, options.seed
    before = 0.0
    with tempfile.TemporaryDirectory() as folder:
        targets = readers(Path(folder)) | running_readers(Path(folder))
        while time.monotonic() < end:
            seed += 1
            for name, (data, read) in targets.items():
                signal.setitimer(signal.ITIMER_REAL, HANGS_AFTER_S)
                for part in range(SLOW.get(name, PER_ROUND)):
                    try:
                        read(mutated(data, random.Random(f"{seed} {name} {part}")))
                        counts[f"{name} kept"] += 1
                    except REFUSALS:
                        counts[f"{name} refused"] += 1
                    except BaseException:
                        print(f"seed {seed - 1} leads to a crash of {name}")
                        raise
            if seed == options.seed + WARM_UP_ROUNDS:
                before = _resident_mib()
        signal.setitimer(signal.ITIMER_REAL, 0)
    for name, count in sorted(counts.items()):
        print(f"{name:<22} {count:>12,}")
    print(
        f"{counts.total():,} inputs, seeds {options.seed} to {seed}; memory {before:.0f} -> {_resident_mib():.0f} MiB"
    )


def _resident_mib() -> float:
    """Return what this process holds now, where the system tells."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
