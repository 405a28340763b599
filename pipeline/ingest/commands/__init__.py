"""The commands beside the stage: `check` and `draft` a mapping, `retry` rejected rows.

Read in this order: `command_line` (arguments), `checking`, `draft`, `retry`.
"""
