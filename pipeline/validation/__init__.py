"""How a model is judged on rows that it has not seen: origins, rolling forecasts, metrics, the bootstrap."""
