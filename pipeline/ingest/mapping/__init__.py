"""A partner's YAML file -> which column is what: sources, their mappings, the fields of a mapping."""
