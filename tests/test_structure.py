"""The rules of the layout, computed from the imports: one direction, no circles, short chains, small files."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "peft_cli"
LAYERS = (  # from the bottom up: a package or root file imports from the lines above its own, and from no other
    ("config", "recipe"),
    ("data", "metrics"),
    ("run_folder",),
    ("backbone", "report"),
    ("forms",),
    ("method",),
    ("speed",),
    ("train", "evaluate"),
    ("cost", "serving", "pretrain"),
    ("run",),
    ("sweep",),
    ("tune",),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
WITHOUT_MODELS = ("config", "data", "metrics", "run_folder", "report", "sweep")
ROOT_FILES = {"__init__", "run", "train", "recipe", "evaluate", "cost"}
CORE = (
    "run.py",
    "train.py",
    "recipe.py",
    "evaluate.py",
    "cost.py",
    "backbone",
    "method/__init__.py",
    "data/__init__.py",
)
CORE_LINES, FILE_LINES, CHAIN = 2_585, 320, 9  # 2,500 is the aim of the first
NAMES_WITHOUT_MEANING = {
    "utils",
    "util",
    "common",
    "base",
    "helpers",
    "helper",
    "misc",
    "constants",
    "registry",
    "manager",
}
FILE_NAME = re.compile(r"`([\w./-]+(?:\.(?:py|yaml|md|toml)|/))`")


@dataclass(frozen=True)
class Import:
    """One import of one module of the package by another."""

    importer: str  # dotted name of a module, such as "peft_cli.backbone.model"
    imported: str
    place: str  # file and line
    is_lazy: bool  # whether it stands inside a function

    def __str__(self) -> str:
        return f"{self.place} imports {self.imported}" + (" inside a function" if self.is_lazy else "")


@cache
def modules() -> dict[str, Path]:
    """The file of each module of the package, by the module's dotted name."""
    return {dotted_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def dotted_name(path: Path) -> str:
    """The name by which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> list[Import]:
    """All imports inside the package: at top level, under TYPE_CHECKING, and inside functions."""
    return [own for name, path in modules().items() for own in imports_of(name, path, modules())]


def imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """The imports of modules in `known` by the module `name`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lazy = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        for target in sorted(targets(node, name, path) & known.keys() - {name}):
            yield Import(
                name,
                target,
                f"{path.relative_to(known[name.split('.')[0]].parents[1])}:{node.lineno}",
                id(node) in lazy,
            )


def targets(node: ast.AST, name: str, path: Path) -> set[str]:
    """The dotted names that an import statement may load: `a` of `from a import b`, and `a.b` if it is a module."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    above = package[: len(package) - node.level + 1] if node.level else []
    start = ".".join([*above, *([node.module] if node.module else [])])
    return {start} | {f"{start}.{alias.name}" for alias in node.names}


def graph(edges: list[Import]) -> dict[str, set[str]]:
    """What each module imports when it is loaded or type-checked."""
    result: dict[str, set[str]] = {}
    for edge in edges:
        if not edge.is_lazy:
            result.setdefault(edge.importer, set()).add(edge.imported)
    return result


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle of imports, from a name back to it; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, above: list[str]) -> list[str]:
        if name in above:
            return [*above[above.index(name) :], name]
        if name in done:
            return []
        closed = next(filter(None, (visit(target, [*above, name]) for target in sorted(edges.get(name, ())))), [])
        done.add(name)
        return closed

    return next(filter(None, (visit(name, []) for name in sorted(edges))), [])


def longest_chain(edges: dict[str, set[str]]) -> list[str]:
    """The longest way along imports without a circle."""

    @cache
    def below(name: str) -> tuple[str, ...]:
        return (name, *max((below(target) for target in sorted(edges.get(name, ()))), key=len, default=()))

    return list(max(map(below, sorted(edges)), key=len, default=()))


def unit(name: str) -> str:
    """The package or root file that a module belongs to; empty for peft_cli itself."""
    return ".".join(name.split(".")[1:2])


def between_units() -> list[Import]:
    """The imports of one package or root file by another; peft_cli's own version may be imported anywhere."""
    known = {"", *LEVEL}
    crossing = [own for own in imports() if unit(own.importer) != unit(own.imported) and unit(own.imported)]
    return [own for own in crossing if {unit(own.importer), unit(own.imported)} <= known]


def test_no_circle_of_files():
    assert not (found := circle(graph(imports()))), f"files import each other: {' > '.join(found)}"


def test_no_circle_of_packages():
    edges: dict[str, set[str]] = {}
    for own in between_units():
        if not own.is_lazy and unit(own.importer):
            edges.setdefault(unit(own.importer), set()).add(unit(own.imported))
    found = circle(edges)
    pairs = set(pairwise(found))
    reasons = [str(own) for own in between_units() if (unit(own.importer), unit(own.imported)) in pairs]
    assert not found, f"packages import each other: {' > '.join(found)}\n" + "\n".join(reasons)


def test_the_longest_chain_of_imports_is_short():
    if circle(graph(imports())):
        pytest.fail("a chain has no end while files import each other")
    chain = longest_chain(graph(imports()))
    assert len(chain) <= CHAIN, (
        f"{len(chain)} modules import one another in a row, at most {CHAIN} may: {' > '.join(chain)}"
    )


@pytest.mark.parametrize("is_lazy", [False, True], ids=["top level", "inside functions"])
def test_imports_go_one_way(is_lazy):
    edges = [own for own in between_units() if own.is_lazy == is_lazy and unit(own.importer)]
    wrong = [own for own in edges if LEVEL[unit(own.importer)] <= LEVEL[unit(own.imported)]]
    assert not wrong, "against the order of LAYERS in tests/test_structure.py:\n" + "\n".join(map(str, wrong))


@pytest.mark.parametrize("name", WITHOUT_MODELS)
def test_a_package_below_the_backbone_is_loaded_without_models(name):
    for path in (PACKAGE / name).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            assert not {"transformers", "tokenizers"} & targets(node, dotted_name(path), path), f"{path}:{node.lineno}"


def test_the_public_names_are_imported_when_they_are_used():
    eager = [own for own in imports() if own.importer == "peft_cli" and not own.is_lazy]
    assert not eager, "\n".join(map(str, eager))


def test_every_package_has_a_layer():
    units = {unit(name) for name in modules()} - {""}
    assert units <= LEVEL.keys(), f"LAYERS in tests/test_structure.py lacks {', '.join(sorted(units - LEVEL.keys()))}"


def test_the_root_holds_the_straight_line_alone():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= ROOT_FILES


def test_a_file_has_a_meaningful_name():
    vague = [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.stem in NAMES_WITHOUT_MEANING]
    assert not vague, f"say what it holds: {', '.join(vague)}"


def test_a_file_is_short():
    long = {str(path.relative_to(ROOT)): n for path in modules().values() if (n := count_lines(path)) > FILE_LINES}
    assert not long, f"at most {FILE_LINES} lines a file: {long}"


def test_the_core_is_small():
    files = [
        file for part in CORE for file in ([PACKAGE / part] if part.endswith(".py") else (PACKAGE / part).rglob("*.py"))
    ]
    assert (n := sum(map(count_lines, files))) <= CORE_LINES, f"the core has {n} lines, at most {CORE_LINES} may be"


def count_lines(path: Path) -> int:
    """The lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def test_embedded_holds_files_and_no_code():
    assert not list((PACKAGE / "embedded").rglob("*.py"))


def test_the_files_that_the_architecture_page_names_exist():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(FILE_NAME.findall(page))
    absent = sorted(name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists())
    assert named and not absent, f"docs/architecture.md names files that do not exist: {', '.join(absent)}"


def test_a_circle_is_found_under_type_checking_and_a_lazy_import_is_marked(tmp_path):
    known = {}
    sources = {
        "__init__": "",
        "a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B\n",
        "b": "from . import c\n",
        "c": "import p.a\ndef f():\n    from p import b\n",
    }
    for stem, text in sources.items():
        known["p" if stem == "__init__" else f"p.{stem}"] = path = tmp_path / "p" / f"{stem}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = [own for name, path in known.items() for own in imports_of(name, path, known)]
    assert circle(graph(found)) == ["p.a", "p.b", "p.c", "p.a"]
    assert [str(own) for own in found if own.is_lazy and own.imported == "p.b"] == [
        "p/c.py:3 imports p.b inside a function"
    ]


def test_the_longest_chain_is_counted_in_modules():
    assert longest_chain({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": {"e"}}) == ["a", "b", "d", "e"]
