"""Feature rows -> a fitted model, the record of its fit, and log-odds for rows that it had not seen.

Read `model` (what a fitted model is: a log-linear baseline, trees on top of it, a calibration), then `area_risk` and
`sensor_threat`, which differ in what they hold out, and `boosting`, the only importer of LightGBM. No skill is measured
here, and no row of the test is looked at but to score it.
"""
