"""Reports of several partners -> one event each: linkage, a reviewer's decisions, merging."""
