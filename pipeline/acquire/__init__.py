"""A dataset's name -> its partners' files under data/raw, every byte checked, and a record whether the truth is known.

Read `__main__` (a mirror or a simulation) and `copy` (a mirror's files, digest and copy in one pass). A
simulated dataset is made by `pipeline.simulate`.
"""
