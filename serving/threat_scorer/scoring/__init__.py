"""A model of a bundle and a record -> a score: contract, features, session, explanations."""
