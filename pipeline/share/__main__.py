"""``python -m pipeline.share explain row | cell | model | bundle``: which rule lets a partner have it or keeps it back.

The status is 0 where every partner that was given may have it, and 1 where one may not.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import params
from pipeline.runtime import cli
from pipeline.share import bundle_file, explain
from pipeline.share.explain import Answer


def main() -> None:
    """Answer for each partner, by default for all that the dataset's markings name."""
    given = _parser().parse_args()
    what, dataset, answer = _question(given)
    known = explain.partners_of(dataset)
    for partner in given.partners:
        explain.refuse_unknown(partner, known)
    answers = [answer(partner) for partner in given.partners or sorted(known)]
    print("\n".join(line for each in answers for line in each.lines(what)))
    sys.exit(0 if all(each.allowed for each in answers) else 1)


def _question(given: argparse.Namespace) -> tuple[str, str, Callable[[str], Answer]]:
    """Return what is asked about, the dataset whose partners are known, and the answer by partner."""
    dataset = given.dataset or params.load().run.dataset
    match given.kind:
        case "row":
            what = f"row {given.id} of {given.table}"
            return what, dataset, lambda partner: explain.of_row(dataset, given.table, given.id, partner)
        case "cell":
            return f"cell {given.cell}", dataset, lambda partner: explain.of_cell(dataset, given.cell, partner)
        case "model":
            return f"model {given.model}", dataset, lambda partner: explain.of_model(dataset, given.model, partner)
    release = bundle_file.release_of(given.file)
    return f"bundle {given.file.name}", release.dataset, lambda partner: explain.of_release(release, partner)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.share", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    explaining = parser.add_subparsers(dest="command", required=True).add_parser(
        "explain", help="whether partners may have something, and the rule and the rows that decide"
    )
    kinds = explaining.add_subparsers(dest="kind", required=True)
    row = kinds.add_parser("row", help="of a table, in all its versions")
    row.add_argument("table", help="such as incidents")
    row.add_argument("id", help="of the row, or of the partner's record")
    cell = kinds.add_parser("cell", help="all reports and observations in an H3 cell")
    cell.add_argument("cell", help="as H3 writes it, of any resolution")
    model = kinds.add_parser("model", help="a fitted model")
    model.add_argument("model", help="such as area_risk_28d")
    bundle = kinds.add_parser("bundle", help="a signed bundle")
    bundle.add_argument("file", type=Path)
    for kind in (row, cell, model, bundle):
        kind.add_argument(
            "--for", dest="partners", action="append", default=[], metavar="PARTNER", help="may be repeated"
        )
        kind.add_argument("--dataset", help="an entry of `datasets` in params.yaml; default: run.dataset")
    return parser


if __name__ == "__main__":
    cli.run(main)
