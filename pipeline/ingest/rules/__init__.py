"""Text columns -> typed rows of a table, and the rows that a rule refuses."""
