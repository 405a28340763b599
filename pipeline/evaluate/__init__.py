"""Held-out predictions -> how much they are worth, against baselines that had the same rows to learn from.

Read `area_risk` and `sensor_threat` (what is compared with what), then `metrics` (probabilities), `hot_spots` (how much
of what happened lay in the cells that would have been searched), `bootstrap` (intervals of differences), `baselines`
and `oracle` (the other models). `plots` writes what reviewers look at: `curves`, `drivers` (what moves the model) and
`risk_maps` give the points, `figures` draws them. For planners: `surface`, with `scoring` (why a cell scores as it
does) and `uncertainty` (intervals of the risk). Nothing here changes the shipped model.
"""
