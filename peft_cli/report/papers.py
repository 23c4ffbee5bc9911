from collections.abc import Iterator
def beside(runs, names): return []
def matching(runs): return []
