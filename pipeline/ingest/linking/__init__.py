"""Reports of several sources -> the pairs that are one event, and one incident for each event.

Read in this order: `linkage` (which reports are one event), `decisions` (of reviewers, which come before), `merging`
(the best report of each event).
"""
