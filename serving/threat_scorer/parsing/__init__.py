"""JSON and TOML from outside -> plain values -> typed dataclasses, read strictly."""
