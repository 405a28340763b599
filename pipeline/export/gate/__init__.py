"""The parity gate: an exported model is held against its booster, row by row."""
