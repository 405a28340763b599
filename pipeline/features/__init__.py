"""Canonical tables -> one float32 row per thing to be scored, from nothing but what was known then.

Read `area_risk`, which lays out the rows of cells and cutoffs, then what it calls: `theatre` (which cells), `reports`
(tables as weighted events with two clocks), `history` (decayed counts), `hawkes` (the self-exciting process, which is
fitted once and then applied), `history_features` and `context` (sets of features) and `labels`.
`sensor_threat` is the other model; `pipeline.model.catalogue` says what each feature is.
"""
