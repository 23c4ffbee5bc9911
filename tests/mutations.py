"""The mutants of a file: its text with one statement, comparison or boolean deleted or negated."""

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DECLARATIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
OPPOSITES: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Lt: (ast.LtE, ast.GtE), ast.GtE: (ast.Gt, ast.Lt), ast.Gt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Lt, ast.Gt),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A file with one change."""

    path: str  # from the root of the tree
    lines: range  # of the changed statement, without the statements inside it
    change: str
    text: str  # of the whole file, without comments

    @property
    def key(self) -> str:
        """A name that this mutant of this state of its file shares with no other."""
        return f"{self}: {hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    def __str__(self) -> str:
        return f"{self.path}:{self.lines.start}: {self.change}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """A mutant for each change of a statement, comparison or boolean inside the functions of a file."""
    tree = ast.parse(source)
    for node, statement, put in nodes(tree, None):
        lines = head(statement)
        for new in replacements(node):
            put(new)
            change = described(statement, new) if node is statement else f"as `{first_line(statement)}`"
            yield Mutant(path, lines, change, ast.unparse(tree) + "\n")
        put(node)


def nodes(parent: ast.AST, around: ast.stmt | None) -> Iterator[tuple[ast.AST, ast.stmt, Callable[[ast.AST], None]]]:
    """The statements and expressions in functions, each with its statement and what puts another node in its place.

    `around` is the statement that `parent` is or belongs to; None outside functions.
    """
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or isinstance(child, ast.arguments | ast.JoinedStr):
                continue
            if isinstance(child, ast.keyword) and child.arg == "strict":  # of zip: a check that no input should reach
                continue
            statement = child if isinstance(child, ast.stmt) else around
            if around is not None and statement is not None and not isinstance(child, DECLARATIONS):
                at, key = (value, i) if isinstance(value, list) else (vars(parent), field)
                yield child, statement, lambda new, at=at, key=key: at.__setitem__(key, new)
            is_inside = around is not None or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from nodes(child, statement if is_inside else None)


def head(statement: ast.stmt) -> range:
    """The lines of a statement without those of the statements inside it."""
    inner = getattr(statement, "body", None)
    last = max(statement.lineno, inner[0].lineno - 1) if inner else statement.end_lineno or statement.lineno
    return range(statement.lineno, last + 1)


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What is tried in place of a node: nothing, a context's body alone, opposites, and conditions without a part."""
    if isinstance(node, ast.stmt) and not is_idle(node):
        yield ast.Pass()
    if isinstance(node, ast.With) and not any(item.optional_vars for item in node.items):
        yield ast.If(ast.Constant(True), node.body, [])
    if isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
        yield type(node)(**dict(ast.iter_fields(node)) | {"test": ast.UnaryOp(ast.Not(), node.test)})
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in OPPOSITES[type(operator)]:
                yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)


def is_idle(statement: ast.stmt) -> bool:
    """Whether a statement does nothing: a docstring, `pass`, a declaration of a type, an empty return."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.AnnAssign | ast.Return) and statement.value is None
    )


def described(statement: ast.stmt, new: ast.AST) -> str:
    """The change of a whole statement in words."""
    if isinstance(statement, ast.With):
        return f"without `{first_line(statement)}`" + (" and its body" if isinstance(new, ast.Pass) else "")
    return f"without `{first_line(statement)}`" if isinstance(new, ast.Pass) else f"as `{first_line(new)}`"


def first_line(node: ast.AST) -> str:
    """The first line of the code of a node."""
    return ast.unparse(node).split("\n")[0]
