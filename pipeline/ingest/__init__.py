"""Partners' files -> the canonical tables, by mappings that are data; no record is lost or repaired.

Read first: `mapping` (the language of data/sources), `reading` (a file into columns of text), `rules` (columns of text
into rows). Then `staging` with `staging_key` and `versions` (one file, streamed), `borders`, `stage` (all files of a
dataset). Last: `linking` (which reports of several sources are one event), `report`. Beside the stage: `commands`.
"""
