"""What every model's evaluation found -> one file of metrics for machines, and a short table for people.

`summary` holds both.
"""
