"""Feature rows -> a fitted model, the record of its fit, and log-odds for rows that it had not seen.

Read `pipeline.model.fitted` first: a model is a log-linear baseline, trees on top of it, and a calibration. Then read
`area_risk` and `sensor_threat`, which differ in what they hold out. `boosting` alone calls LightGBM to fit. This stage
measures no skill. It reads rows of the test only to score them.
"""
