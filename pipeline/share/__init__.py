"""Sharing with partners: which rule lets a partner have something, or keeps it back.

The rule itself stands in `pipeline.storage.marking`. Here a person asks about one row, cell, model or bundle.
"""
