"""Tables, comparisons and figures of finished runs, in every format. Imports neither torch nor transformers.

    folders -> runs -> tables -> sections (grids, notes, figures) -> a format
folders.py    runs.py  tables.py  performance.py pivot.py compare.py    formats/
                                  costs.py papers.py figures/
"""
