"""``python -m pipeline.sign keygen | trust | bundle``: make keys, list the trusted ones, sign a bundle."""

import argparse
import base64
from datetime import UTC, datetime
from pathlib import Path

from pipeline.runtime.errors import StageError
from pipeline.sign import keys, release
from pipeline.sign.keys import Signer
from pipeline.sign.release import Decision
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from threat_scorer.bundle import dsse, trust
from threat_scorer.bundle.trust import Key, Trust
from threat_scorer.errors import Refused
from threat_scorer.scoring.kinds import kind_of

RELEASES = Path("dist")
"""Where signed bundles are written by default: not in git, not in DVC."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.sign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    keygen = commands.add_parser("keygen", help="write a new Ed25519 key pair, outside the project")
    keygen.add_argument("--out", required=True, type=Path, metavar="DIR")
    keygen.add_argument("--name", default="signing", help="of the files NAME.key and NAME.pub (default: signing)")
    keygen.set_defaults(run=_keygen)

    trusting = commands.add_parser("trust", help="write the trust file: which keys devices believe")
    trusting.add_argument("--out", required=True, type=Path, metavar="FILE")
    trusting.add_argument("--counter", required=True, type=int, help="higher than that of the last trust file")
    for role, meaning in (("root", "may sign trust files"), ("bundle", "may sign bundles")):
        trusting.add_argument(f"--{role}", action="append", default=[], type=Path, metavar="PUB", help=meaning)
        trusting.add_argument(f"--revoked-{role}", action="append", default=[], type=Path, metavar="PUB")
    _add_signers(trusting, several=True)
    trusting.set_defaults(run=_trust)

    sign = commands.add_parser("bundle", help="pack models/<dataset>/bundle into one signed file for the field")
    sign.add_argument("--dataset", required=True, help="an entry of `datasets` in params.yaml")
    sign.add_argument("--version", required=True, help="of the release, as 1.4.0")
    sign.add_argument("--counter", required=True, type=int, help="higher than that of the last release")
    sign.add_argument("--expires", required=True, type=_time, metavar="DATE", help="UTC; not loaded from then on")
    sign.add_argument("--not-before", type=_time, metavar="DATE", help="UTC; not loaded earlier (default: today)")
    sign.add_argument("--for", dest="partner", metavar="PARTNER", help="its devices alone may load it")
    sign.add_argument("--name", help="of the release (default: the dataset)")
    sign.add_argument("--model", action="append", default=[], metavar="NAME", help="may be repeated (default: all)")
    given_prior = sign.add_mutually_exclusive_group()
    given_prior.add_argument("--prior-of", metavar="MODEL", help="of area risk, where the bundle holds several")
    given_prior.add_argument("--no-prior", action="store_true", help="leave the area prior out")
    sign.add_argument("--out", type=Path, metavar="FILE", help=f"(default: {RELEASES}/NAME-VERSION.bundle)")
    _add_signers(sign, several=False)
    sign.set_defaults(run=_sign)
    return parser


def _add_signers(parser: argparse.ArgumentParser, *, several: bool) -> None:
    more = ", may be repeated" if several else ""
    parser.add_argument("--key", action="append", default=[], type=Path, metavar="FILE", help=f"private key{more}")
    parser.add_argument(
        "--signer", metavar="COMMAND", help="instead of a key: gets the bytes on stdin, writes the raw signature"
    )
    parser.add_argument("--public", type=Path, metavar="PUB", help="public key of --signer")


def _signers(options: argparse.Namespace) -> list[Signer]:
    signers = [keys.signer_of_file(path) for path in options.key]
    if (options.signer is None) != (options.public is None):
        raise StageError("--signer and --public: got one of them; expected both, the command and its public key")
    if options.signer:
        signers.append(keys.signer_of_command(options.signer, options.public))
    if not signers:
        raise StageError("got neither --key nor --signer; expected something to sign with")
    return signers


def _keygen(options: argparse.Namespace) -> None:
    private, public = keys.generate(options.out, options.name)
    print(f"{private}: the private key; whoever has it signs in your name")
    print(f"{public}: key {dsse.key_id(keys.read_public(public))}")


def _trust(options: argparse.Namespace) -> None:
    listed = [
        Key(base64.b64encode(keys.read_public(path)).decode("ascii"), role, revoked)
        for role, paths, revoked in (
            ("root", options.root, False),
            ("root", options.revoked_root, True),
            ("bundle", options.bundle, False),
            ("bundle", options.revoked_bundle, True),
        )
        for path in paths
    ]
    payload = Trust(trust.VERSION, options.counter, tuple(listed)).to_json()
    data = keys.sign(trust.PAYLOAD_TYPE, payload, _signers(options)).to_json()
    try:
        trust.read(data, f"{options.out}")  # no device would take what this refuses
    except Refused as error:
        raise StageError(f"{error}; sign with a key that is given as --root") from None
    with store.replacing(options.out) as new:
        new.write_bytes(data)
    for key in listed:
        print(f"{'revoked' if key.revoked else 'trusted'} {key.role:<6} {key.id}")
    print(f"{options.out}: trust file {options.counter}")


def _sign(options: argparse.Namespace) -> None:
    signers = _signers(options)
    if len(signers) > 1:
        raise StageError("got several keys; expected one: a bundle carries one signature")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0)
    decision = Decision(
        name=options.name or options.dataset,
        version=options.version,
        counter=options.counter,
        not_before=options.not_before or today,
        expires=options.expires,
        partner=options.partner,
    )
    paths = DatasetPaths(options.dataset)
    model = None if options.no_prior else _prior_of(paths, options.prior_of)
    rows = (model, paths.features(model)) if model else None
    carried = [path.stem for path in paths.bundle.glob("*.onnx") if not options.model or path.stem in options.model]
    cards = {name: _card_of(paths, name) for name in carried}
    manifest, content = release.members(paths.bundle, decision, only=options.model, cards=cards, prior_rows=rows)
    path = options.out or RELEASES / f"{decision.name}-{decision.version}.bundle"
    release.write(path, manifest, content, signers[0])
    signed = manifest.release
    print(f"{path}: {path.stat().st_size:,} bytes, counter {signed.counter}, for {' '.join(signed.recipients)},")
    print(f"  valid {signed.not_before} to {signed.expires}, TLP:{signed.marking.tlp}, {', '.join(content)}")


def _card_of(paths: DatasetPaths, model: str) -> Path:
    """Return the file of a model's card, which must be of the very file that goes to the field."""
    card, digest = paths.card(model), store.digest(paths.onnx(model))
    if not card.exists():
        raise StageError(
            f"{card}: no such file; no model goes to the field without its card: run the report stage first"
        )
    if digest not in card.read_text(encoding="utf-8"):
        raise StageError(f"{card}: does not name {paths.onnx(model)}, {digest}; run the report stage again")
    return card


def _prior_of(paths: DatasetPaths, requested: str | None) -> str | None:
    """Return the model of area risk whose prior goes along; None where the bundle holds none."""
    present = [path.stem for path in sorted(paths.bundle.glob("*.onnx")) if kind_of(path.stem) == "area_risk"]
    if requested is None and len(present) < 2:
        return present[0] if present else None
    if requested not in present:
        got = f"got {requested}" if requested else "got several models of area risk"
        raise StageError(f"{paths.bundle}: {got}; expected --prior-of one of {', '.join(present)}, or --no-prior")
    return requested


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a date as 2027-01-31") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
