"""The area model at one cutoff -> the risk of every cell for planners."""
