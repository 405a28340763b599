"""A thing and a partner -> whether the partner may have it, and the rule and the rows that decide.

`pipeline.storage.marking` alone decides. This module puts the decision in words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model import cells
from pipeline.model.fit_record import read_fit
from pipeline.params.names import nearest
from pipeline.runtime.errors import StageError
from pipeline.storage import store
from pipeline.storage.marking import ALL, Marking, owners
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.read import open_tables, table_files
from pipeline.storage.schemas import tables
from threat_scorer.bundle.manifest import Release
from threat_scorer.scoring.kinds import kind_of

MARKED = ("source_id", "originator", "releasable_to", "tlp")
"""Columns of every table that partners' files are mapped onto."""

READ_BY = {"area_risk": ("incidents", "observations", "places"), "sensor_threat": ("detections",)}
"""Tables that the features of each kind of model are made from."""


@dataclass(frozen=True)
class Answer:
    """Whether a partner may have something, and why."""

    partner: str
    allowed: bool
    reasons: tuple[str, ...]
    """Whole sentences without the partner's name; the first names the rule."""

    def lines(self, what: str) -> list[str]:
        """Return the answer as lines of text.

        Examples
        --------
        >>> Answer("SURVEY", False, ("not released to it",)).lines("model area_risk_28d")
        ['SURVEY may not have model area_risk_28d', '  not released to it']
        """
        return [f"{self.partner} {'may' if self.allowed else 'may not'} have {what}", *(f"  {r}" for r in self.reasons)]


def partners_of(dataset: str) -> frozenset[str]:
    """Return the code of every partner that a row of a dataset's tables names.

    Raises
    ------
    StageError
        The dataset has no tables yet.
    """
    markings = [marking for marking, _ in _counted(_all_rows(dataset, tables()))]
    named = [owners(marking.originator) | frozenset(marking.releasable_to) for marking in markings]
    return frozenset().union(*named) - {ALL}


def refuse_unknown(partner: str, known: Iterable[str]) -> None:
    """Raise an error for a partner that no row names: a misspelt code must not pass for everybody, or for nobody.

    Raises
    ------
    StageError
        With the nearest code.
    """
    codes = sorted(known)
    if partner not in codes:
        raise StageError(
            f"partner: got {partner!r}{nearest(partner, codes)}; expected one that a marking names: {', '.join(codes)}"
        )


def of_row(dataset: str, table: str, identifier: str, partner: str) -> Answer:
    """Return the answer for one row of a table, in all its versions.

    Parameters
    ----------
    dataset, table
        As `params.yaml` and `data/tables` name them.
    identifier
        The value of the table's id column, such as `incident_id`; of its record, where no id has this value.
    partner
        A partner's code.

    Raises
    ------
    StageError
        The table or the row does not exist.
    """
    files = {name: file for name, file in table_files(dataset).items() if name in tables()}
    if table not in files:
        raise StageError(
            f"table: got {table!r}{nearest(table, files)}; expected one of {', '.join(files) or 'none yet'}"
        )
    rows = store.read_table(files[table])
    keys = (tables()[table].id_column, "record_id")
    matches = [subset for key in keys if (subset := rows.filter(pc.equal(rows[key], identifier))).num_rows]
    if not matches:
        raise StageError(f"{files[table]}: no row has {' or '.join(keys)} {identifier!r}; expected one of the table")
    return of_rows(matches[0], partner)


def of_cell(dataset: str, cell: str, partner: str) -> Answer:
    """Return the answer for all that is known of a cell: a partner may have it if it may have every row in it.

    Parameters
    ----------
    dataset
        As `params.yaml` names it.
    cell
        As H3 writes it, of any resolution.
    partner
        A partner's code.

    Raises
    ------
    StageError
        It is no cell.
    """
    try:
        (wanted,) = cells.from_names([cell])
        resolution = cells.resolution_of(cells.from_names([cell]))
    except ValueError:
        raise StageError(f"cell: got {cell!r}; expected a cell as H3 writes it, such as 8566e093fffffff") from None
    names = [name for name in ("incidents", "observations") if name in table_files(dataset)] or ["incidents"]
    columns = [*MARKED, "latitude_deg", "longitude_deg"]
    inside = []
    for rows in open_tables(dataset, names, columns=columns).values():
        positioned = rows.filter(pc.is_valid(rows["latitude_deg"]))
        here = cells.locate(*cells.placed(positioned), resolution=resolution) == wanted
        inside.append(positioned.filter(pa.array(here)).select(MARKED))
    return of_rows(pa.concat_tables(inside), partner)


def of_model(dataset: str, model: str, partner: str) -> Answer:
    """Return the answer for a fitted model: its record carries the marking of the rows behind it.

    Parameters
    ----------
    dataset, model
        As `params.yaml` names them.
    partner
        A partner's code.

    Raises
    ------
    StageError
        The model has not been fitted.
    """
    file = DatasetPaths(dataset).model(model) / "fit.json"
    if not file.exists():
        raise StageError(f"{file}: no such file; run `make DATASET={dataset}` first")
    decided = of_marking(read_fit(file, model).marking, partner)
    behind = of_rows(_all_rows(dataset, READ_BY[kind_of(model)]), partner)
    context = ("of the tables as they are now:", *behind.reasons)
    return Answer(partner, decided.allowed, (*decided.reasons, *context))


def of_release(release: Release, partner: str) -> Answer:
    """Return the answer for a signed bundle: its marking has to allow the partner, and the signer has to name it.

    Parameters
    ----------
    release
        Of the bundle's manifest.
    partner
        A partner's code.
    """
    marking = Marking(release.marking.originator, release.marking.releasable_to, release.marking.tlp)
    by_marking = of_marking(marking, partner)
    named = release.is_for(partner)
    signed = f"the signer addressed it to {', '.join(release.recipients)}, until {release.expires}"
    return Answer(partner, by_marking.allowed and named, (*by_marking.reasons, signed))


def of_marking(marking: Marking, partner: str) -> Answer:
    """Return the answer for something that carries one marking.

    Parameters
    ----------
    marking
        Its marking.
    partner
        A partner's code.

    Examples
    --------
    >>> of_marking(Marking("COMMAND", ("MINE_ACTION",), "AMBER"), "SURVEY").reasons
    ('not released to it: TLP:AMBER, releasable to COMMAND, MINE_ACTION, from COMMAND',)
    """
    if ALL in marking.releasable_to:
        rule = "released to everybody"
    elif partner in marking.releasable_to:
        rule = "released to it"
    elif marking.allows(partner):
        rule = "its own"
    else:
        rule = "not released to it"
    return Answer(partner, marking.allows(partner), (f"{rule}: {marking.written}",))


def of_rows(rows: pa.Table, partner: str) -> Answer:
    """Return the answer for what is derived from rows: a partner may have it if it may have every one of them.

    Parameters
    ----------
    rows
        With the columns of `MARKED`.
    partner
        A partner's code.
    """
    kept_back: list[str] = []
    total = refused = 0
    for (marking, source), count in _by_source(rows).items():
        total += count
        if not (answer := of_marking(marking, partner)).allowed:
            refused += count
            kept_back.append(f"{count:,} of {source} are {answer.reasons[0]}")
    if not total:
        return Answer(partner, True, ("no row is behind it",))
    if not kept_back:
        return Answer(partner, True, (f"it may have every one of the {total:,} rows behind it",))
    return Answer(partner, False, (f"it may not have {refused:,} of the {total:,} rows behind it:", *kept_back))


def _all_rows(dataset: str, of_tables: Iterable[str]) -> pa.Table:
    """Return the source and the marking of every row of some tables, in all versions."""
    names = [name for name in of_tables if name in table_files(dataset)]
    return pa.concat_tables(open_tables(dataset, names or of_tables, columns=MARKED).values())


def _by_source(rows: pa.Table) -> Mapping[tuple[Marking, str], int]:
    """Return how many rows each source gives under each marking, in the order of the sources."""
    by_source = {}
    for source in sorted(pc.unique(rows["source_id"]).to_pylist()):
        for marking, count in _counted(rows.filter(pc.equal(rows["source_id"], source))):
            by_source[marking, source] = count
    return by_source


def _counted(rows: pa.Table) -> list[tuple[Marking, int]]:
    """Return the markings of rows and how many rows carry each."""
    joined = pc.binary_join(rows["releasable_to"].cast(pa.list_(pa.string())), "\n")
    table = pa.table({"originator": rows["originator"], "releasable_to": joined, "tlp": rows["tlp"]})
    counted = table.group_by(["originator", "releasable_to", "tlp"]).aggregate([([], "count_all")]).to_pylist()
    return [
        (
            Marking(row["originator"], tuple(filter(None, row["releasable_to"].split("\n"))), row["tlp"]),
            row["count_all"],
        )
        for row in sorted(counted, key=lambda row: (row["originator"], row["releasable_to"], row["tlp"]))
    ]
