"""params.yaml and dvc.yaml -> every stage of the chosen dataset, two models at a time where there are two processors.

`dvc repro` runs the same stages one after the other and leaves the same bytes; this only takes less time.
"""
