"""What the stages found -> metrics for machines, one page for reviewers, a card for each model.

Read `facts` first: all that is said, gathered from files, with the gate's verdict. `drivers` asks the bundle for its
reasons, `risk_map` prepares the map; `render` fills ``templates``. `summary` is for machines and the terminal;
`documents` writes docs/results.md and docs/features.md of all datasets, as `results` puts them.
"""
