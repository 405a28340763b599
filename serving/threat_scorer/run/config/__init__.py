"""scorer.toml -> frozen dataclasses."""
