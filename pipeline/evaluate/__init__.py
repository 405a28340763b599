"""Held-out predictions -> how much they are worth, against baselines that had the same rows to learn from.

Read `area_risk` and `sensor_threat` first: what is compared with what. `baselines` and `oracle` are the other models.
`hot_spots` counts the events in the cells that would have been searched. `uncertainty` checks intervals and novelty.
`plots` writes what reviewers look at: its `*_points` modules give the points, its `draw_*` modules draw them. `surface`
is for planners: the risk of every cell, with an interval and reasons. Nothing here changes the shipped model.
"""
