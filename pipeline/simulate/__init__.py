"""The simulated theatre: an invented island, the events there, what three partners report of them, and the truth.

Read in this order: `scenario` (how large), `ground` (the island), `campaigns` and `process` (hazards day by day),
`events` (all to be noticed). Then `partners` (who reports what, when and how wrongly), `faults`, `files` and `formats`
(their files). Then `sensors` and `detections` (alarms on search lanes), `oracle` (the best possible forecast), `write`
(to disk).

Everything is coarse on purpose: a hazard is a point with a category. There are no devices and no persons in it.

The truth, under data/truth/<dataset>; only `evaluate` may read it:

==================  =================================================================================================
intensity.parquet   `cell`, `day`; `intensity`: new hazards expected that day; `probability_<h>d`: the oracle's
                    probability of at least one reported event (label of area_risk) in the h days from `day` on
hazards.parquet     every hazard: where, from when, its `fate` (explosion, found_cleared, never_known) and when
reports.parquet     `raw_file`, `record_id` -> `event_id`: reports with one event_id are one event, missing: invented
faults.parquet      rows with a planted fault: `raw_file`, `raw_row`, `key`, `fault`
detections.parquet  `record_id`, `is_hazard`; `log_odds`: the oracle's, from what was measured; `prior` of the
                    alarm's cell; `log_odds_with_prior`: the oracle's, from both
known.json          ``{"known": true}``
==================  =================================================================================================
"""
