"""A bounded, seeded search for better values of an area model's `train` section; no stage of DVC's.

Read `search` first: it draws the candidates within the bounds of `tune` in params.yaml, and tries each.
`training_period` makes the rows for it: those of the training period, as they were known when the test began. `trials`
stores the tries, `summary` puts the result into a table and words, ``__main__`` is the command.

The search is for the area models only. Their test is a period, and before it lies another one to search in. The sensor
model's test holds out every group of alarms in turn: no group is for training only. The groups held out cannot choose
the values, as they are the test itself. Within each fold, as the number of trees is chosen, the
values would differ from fold to fold.
"""
