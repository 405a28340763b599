"""A dataset's name -> its partners' files under data/raw, every byte checked, and what is known of the truth.

Read `__main__` (which of the two ways a dataset takes) and `copy` (a mirror's files, digest and copy in one pass). A
simulated dataset is made by `pipeline.simulate`.
"""
