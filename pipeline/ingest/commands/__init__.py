"""What a person runs beside the stage: check, draft, retry."""
