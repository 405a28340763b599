"""What the stages share of a model: its formula, its features and cells, its intervals and novelty, its records."""
