"""A bounded, seeded search for better values of an area model's `train` section; no stage of DVC's.

Read `search` first: the candidates, drawn within the bounds of `tune` in params.yaml, and how each is tried. `inside`
makes the rows that it may look at: those of the training period, as they were known when the test began. `tries`
remembers what has been tried, `summary` says what came of it, ``__main__`` is the command.

Of the area models only. Their test is a period, and before it lies another one to search in. The sensor model's test
is every group of alarms held out in turn: there is no group that only the training sees. Values chosen by the groups
held out would be chosen by the test itself; chosen within each fold, as the number of trees is, they would be others in
each.
"""
