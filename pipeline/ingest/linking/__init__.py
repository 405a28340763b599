"""Reports of several sources -> the pairs that are one event, and one incident for each event.

Read `linkage` first (which reports are one event), then `decisions` (of reviewers, which come before), then `merging`
(the best report of each event).
"""
