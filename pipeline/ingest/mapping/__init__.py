"""A partner's YAML file -> a validated mapping of its columns.

Read in this order: `fields` (the parts of a mapping), `mapping` (one file), `sources` (all mappings of a dataset).
"""
