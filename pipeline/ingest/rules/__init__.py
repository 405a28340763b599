"""A chunk of text columns and a mapping -> rows of a table, and the rows that a rule rejects.

Read first: `source` (a mapping and its dataset), `rows` (a chunk), `values` (text, words and numbers). Then
`timestamps` and `calendars`, `positions` with `border`, `gazetteer` and `mgrs`, and `keys` (which records repeat).
"""
