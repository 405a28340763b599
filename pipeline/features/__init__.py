"""Canonical tables -> one float32 row per thing to be scored, from nothing but what was known then.

Read `area_risk` first: it lays out the rows of cells and cutoffs. `theatre` chooses the cells. `reports` makes weighted
events with two clocks of the tables. `history` decays and counts them; `hawkes` fits the self-exciting process once and
applies it. `history_features` and `context` make the sets of features, `labels` the outcomes. `sensor_threat` is the
other model; `pipeline.model.catalogue` describes each feature.
"""
