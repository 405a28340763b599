"""The stages' results -> metrics for machines, one page for reviewers, a card for each model.

Read `facts` first: it gathers all content from files, with the gate's verdict. `drivers` gets the bundle's reasons,
`risk_map` prepares the map; `render` fills ``templates``. `summary` is for machines and the terminal. `documents`
writes docs/results.md and docs/features.md of all datasets, with the text of `results` and `feature_page`.
"""
