"""JSON: the runs with all their fields, and the tables with the numbers behind their cells."""

from __future__ import annotations

import json
from collections.abc import Sequence

from peft_cli.report.document import Grid, Section
from peft_cli.report.runs import Run

SUFFIX = ".json"
TELLS = "all runs and tables as JSON"


def write(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    """One object: sections and runs."""
    content = {
        "sections": [
            {
                "title": section.title,
                "tables": [table(grid) for grid in section.grids],
                "notes": section.notes,
                "figures": [{"name": figure.name, "caption": figure.caption} for figure in section.figures],
            }
            for section in sections
        ],
        "runs": [{"folder": str(run.folder), **run.fields} for run in runs],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def table(grid: Grid) -> dict:
    """A grid: what its cells say, and the number of each; null where there is none."""
    rows = [[{"text": c.text, "value": c.value, "significant": c.is_bold} for c in row] for row in grid.rows]
    return {"caption": grid.caption, "columns": grid.columns, "rows": rows, "notes": grid.notes}
