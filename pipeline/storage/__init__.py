"""What lies in files: the tables, their versions and markings, and the only readers and writers.

Read `schemas` first, which declares every table. `versions` says what was known at a moment, `marking` who may have a
row and what is derived from rows. `read` opens the tables of a dataset, `store` reads and writes any file, and `paths`
says where each lies.
"""
