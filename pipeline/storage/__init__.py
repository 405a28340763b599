"""What lies in files: the schema of every table, markings, versions, and the only readers and writers."""
