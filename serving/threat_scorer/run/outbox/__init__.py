"""The queue on disk between the scorer and its outputs."""
