"""The parity gate: an exported model is compared with its booster, row by row."""
