"""A reviewer's decisions: is the challenger fit for the field, and which model is there; not a stage of DVC's.

Read `gate` first: evidence in, a verdict rule by rule out. `evidence` reads the stages' results for a model, from
their files or from MLflow. `champion` compares two models on the same rows. `ledger` is the chained record of every
decision, signed with the keys of `reviewers`. `registry` makes MLflow's aliases agree with the ledger. `decide` puts
them together, ``__main__`` is the command.
"""
