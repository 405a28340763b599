"""A partner's file of any format -> chunks of text columns.

Read in this order: `chunk` (the result), `readers` (the formats, and the second count), `files` (any text as UTF-8, by
`invalid_bytes`), `header`, `quotes` (CSV), `geojson` and `geometry`, `parquet`, `workbooks` and `sheet_xml`,
`unreadable` (cells without a value that can be read), `counting` (the second counts).
"""
