"""Change signed files in random ways for some time: nothing but a typed refusal may come of it.

A command, not a test: ``python tests/fuzz_bundle.py --seconds 600``. Prints how many inputs each reader refused and
kept, and the memory it took; a crash ends it with a traceback and the seed that leads there.
"""

import argparse
import io
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from signed_bundle import NOW, Headquarters

from threat_scorer import archive, signed, trust
from threat_scorer.archive import ArchiveError
from threat_scorer.dsse import Envelope, EnvelopeError
from threat_scorer.manifest import Manifest, ManifestError
from threat_scorer.refusal import Refused
from threat_scorer.signed import Demands

REFUSALS = (Refused, EnvelopeError, ManifestError, ArchiveError)


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
        signed.read(path, keys, Demands(NOW, None))
        assert data == bundle, "a changed bundle was loaded"

    return {
        "manifest": (Envelope.from_json(envelope).payload, Manifest.from_json),
        "envelope": (envelope, Envelope.from_json),
        "trust file": (office.trust_file().read_bytes(), lambda data: trust.read(data, "trust")),
        "archive": (bundle[:4096], lambda data: list(archive.members(io.BytesIO(data), len(data)))),
        "bundle": (bundle, install),
    }


def main() -> None:
    """Run for the time that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    end, seed = time.monotonic() + options.seconds, options.seed
    with tempfile.TemporaryDirectory() as folder:
        targets = readers(Path(folder))
        while time.monotonic() < end:
            seed += 1
            for name, (data, read) in targets.items():
                # a bundle takes longer than the rest together
                for part in range(1 if name == "bundle" else 20):
                    try:
                        read(mutated(data, random.Random(f"{seed} {name} {part}")))
                        counts[f"{name} kept"] += 1
                    except REFUSALS:
                        counts[f"{name} refused"] += 1
                    except BaseException:
                        print(f"seed {seed - 1} leads to a crash of {name}")
                        raise
    for name, count in sorted(counts.items()):
        print(f"{name:<20} {count:>12,}")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{counts.total():,} inputs, seeds {options.seed} to {seed}; peak memory {peak_mib} MiB")


if __name__ == "__main__":
    main()
