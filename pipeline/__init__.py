"""From partners' files to risk models for the field; read the stages in the order in which they run.

`acquire` -> `ingest` -> `features` -> `train` -> `evaluate` -> `export` -> `report`: one package each, run as
``python -m pipeline.<stage>``. They meet only in files. `simulate` makes the default theatre.

Stages share the rooms on the floor below:

- `params`: params.yaml. `storage`: tables, files, records, and the marking rule.
- `model`: the formula, calibration, intervals, catalogue and the records of a fit. `validation`: origins and metrics.
- `runtime`: errors, commands, workers, days of a theatre.

`tracking` shows results in MLflow, `review` decides on them, `sign` releases bundles, `tune` looks for settings,
`share` says which partner may have what.
`chain` runs all stages.
"""
