"""What a reviewer decides: is the challenger fit for the field, and what is there now; no stage of DVC's.

Read `gate` first: evidence in, a verdict rule by rule out. `evidence` reads what the stages found of a model, from
their files or from MLflow; `champion` compares two models on the same rows. `ledger` is the record of every decision,
chained, and signed with the keys of `reviewers`; `registry` makes MLflow's aliases show what the ledger says. `decide`
puts them together, ``__main__`` is the command.
"""
