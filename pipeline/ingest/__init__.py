"""Partners' files -> the canonical tables, by mappings that are data; no record is lost or repaired.

Read in this order: `mapping` (the language of data/sources), `reading` (a file into columns of text), `rules` (columns
of text into rows of a table), `staging` with `staging_key` and `versions` (one file, streamed), `borders`, `stage` (all
files of a dataset), `linking` (which reports of several sources are one event), `report`. Beside the stage: `commands`.
"""
