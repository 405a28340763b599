"""The path of the outbox -> an open SQLite database in WAL mode; a damaged file is put aside."""

import sqlite3
from pathlib import Path

CACHE_KIB = 256
"""Of the file's pages in memory: records pass through it once."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: no number is ever given twice
    key TEXT NOT NULL UNIQUE,
    probability REAL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS delivered (output TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS position (input TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counted (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file, or make it; a commit waits for the disk.

    Raises
    ------
    sqlite3.DatabaseError
        The file is damaged; as `sqlite3.OperationalError`, it cannot be opened.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 4194304")
        (result,) = db.execute("PRAGMA quick_check").fetchone()
        if result != "ok":
            raise sqlite3.DatabaseError(result)
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def put_aside(path: Path) -> Path:
    """Rename a damaged file to ``<name>.damaged-<n>``; return where it is."""
    n = 1
    while (aside := path.with_name(f"{path.name}.damaged-{n}")).exists():
        n += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
