"""A partner's file of any format -> chunks of text columns.

Read first: `chunk` (the result), `readers` (the formats, and the second count), `files` (any text as UTF-8, by
`invalid_bytes`), `header`. Then the formats: `quotes` (CSV), `geojson` and `geometry`, `parquet`, `workbooks` and
`sheet_xml`. Last: `unreadable` (cells without a value that can be read), `counting` (the second counts).
"""
