"""Writes the README's table, which is experiments/mini_50.md with fewer columns: `python -m tests.readme`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
README, MADE = ROOT / "README.md", ROOT / "experiments" / "mini_50.md"
COLUMNS = {"method": "method", "bleu": "BLEU", "rougeL": "ROUGE-L", "trained": "weights trained", "stored": "stored",
           "%": "%"}  # fmt: skip


def updated(readme: str, made: str) -> str:
    """`readme` with the table that `made` has."""
    lines = readme.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("| method | BLEU"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return "".join([*lines[:start], *table(made), *lines[end:]])


def table(made: str) -> list[str]:
    """The lines of the README's table."""
    names, _, *rows = [cells_of(line) for line in made.splitlines() if line.startswith("|")]
    places = [names.index(name) for name in COLUMNS]
    head = [list(COLUMNS.values()), ["---", *["---:"] * (len(COLUMNS) - 1)]]
    joined = [" | ".join(head[0]), "|".join(head[1]), *(" | ".join(row[i] for i in places) for row in rows)]
    return [f"|{line}|\n" if line.startswith("---") else f"| {line} |\n" for line in joined]


def cells_of(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8"), MADE.read_text(encoding="utf-8")), encoding="utf-8")
