"""Partners' files -> the canonical tables, by mappings that are data; nothing is lost, nothing repaired.

Read in this order: `mapping` and `entries` (the language of data/sources), `chunk` (what a reader gives), `readers` (a
file into columns of text, with `files`, `undecodable`, `unreadable`, `header`, `quotes`, `geojson`, `geometry`,
`workbooks`, `sheet_xml`, and `counting`, the second count), `rows` (columns of text into rows of a table, with
`values`, `moments`, `calendars`, `positions`, `borders` and `mgrs`), `staging` (one file, streamed),
`keys` and `versions` (corrections and withdrawals), `linkage`, `decisions` and `merging` (which reports of several
sources are one event, and which of them stands), `sources` and `stage` (a dataset), `report`. Beside the stage:
`commands`, with `checking`, `draft` and `retry`.
"""
