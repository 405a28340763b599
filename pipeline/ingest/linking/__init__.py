"""Reports of several sources -> the pairs that are one event, and one incident for each event.

Read `linkage` first (which reports are one event). Then read `decisions` (of reviewers, which come before) and
`merging` (the best report of each event).
"""
