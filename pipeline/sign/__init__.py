"""What the export stage wrote -> one signed file that a device loads; and the keys, and which keys devices trust.

Signing is a person's act at a moment, with a key that lies elsewhere, so it is no stage of the flow: it runs as
``python -m pipeline.sign keygen | trust | bundle``. Read `release` first, then `keys`; `commands` is the command line.
"""
