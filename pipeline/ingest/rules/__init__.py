"""A chunk of text columns and a mapping -> rows of a table, and the rows that a rule rejects.

Read in this order: `source` (a mapping and its dataset), `rows` (a chunk), `values` (text, words and numbers),
`timestamps` and `calendars`, `positions` with `border`, `gazetteer` and `mgrs`, `keys` (which records repeat).
"""
