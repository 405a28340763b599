"""From partners' files to risk models for the field; read the stages in the order they run.

`acquire` -> `ingest` -> `features` -> `train` -> `evaluate` -> `export` -> `report`: one package each, run as
``python -m pipeline.<stage>``. They meet only in files. What several of them need stands on the floor below:
`params` (params.yaml), `tables` (the schemas), `store` (reading and writing), `paths` (where things lie), `cli` and
`tracking` (MLflow). `simulate` makes the default theatre.
"""
