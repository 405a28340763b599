"""The export stage's files -> one signed file that a device loads; also keys, and the list that devices trust.

A person signs, at a moment, with a key that lies elsewhere. Signing is therefore not a stage of the flow; it runs as
``python -m pipeline.sign keygen | trust | bundle``. Read `release` first, then `keys`; `commands` is the command line.
"""
