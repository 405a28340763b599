"""The simulated theatre: an invented island, what happens there, what three partners say of it, and the truth.

Read in this order: `scenario` (how large), `ground` (the island), `process` (hazards day by day), `events` (what there
was to be noticed), `partners` (who reports what, when and how wrongly), `faults`, `files` and `formats` (their files),
`sensors` and `detections` (alarms on search lanes), `oracle` (what the best possible model could say), `write` (all of
it, to disk).

Everything is coarse on purpose: a hazard is a point with a category. There are no devices and no persons in it.

The truth, under data/truth/<dataset>; only `evaluate` may read it:

==================  =================================================================================================
intensity.parquet   `cell`, `day`; `intensity`: new hazards expected that day; `probability_<h>d`: the oracle's
                    probability of at least one reported event (label of area_risk) in the h days from `day` on
hazards.parquet     every hazard: where, from when, its `fate` (explosion, found_cleared, never_known) and when
reports.parquet     `raw_file`, `record_id` -> `event_id`: reports with one event_id are one event, missing: invented
faults.parquet      rows that were spoilt on purpose: `raw_file`, `raw_row`, `key`, `fault`
detections.parquet  `record_id`, `is_hazard`; `log_odds`: the oracle's, from what was measured; `prior` of the
                    alarm's cell; `log_odds_with_prior`: the oracle's, from both
known.json          ``{"known": true}``
==================  =================================================================================================
"""
