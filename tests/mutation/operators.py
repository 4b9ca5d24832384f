"""Mutants of a Python module: one operator, comparison, constant or branch changed at a time."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {"minimum": "maximum", "min": "max", "any": "all", "floor": "ceil", "exp": "expm1", "log1p": "log"}
NAMES |= {new: old for old, new in NAMES.items()}


@dataclass(frozen=True)
class Mutant:
    """A changed module: where, the line as it was, what was changed in it, and the result."""

    line: int
    text: str
    change: str
    code: CodeType


def mutants(source: str) -> Iterator[Mutant]:
    """All of them, in the order of the source."""
    lines, tree = source.split("\n"), ast.parse(source)
    for holder, key, site in list(_sites(tree)):
        for new in _changes(site):
            change = f"{ast.unparse(site)} → {ast.unparse(new)}"
            holder[key] = ast.fix_missing_locations(ast.copy_location(new, site))
            yield Mutant(site.lineno, lines[site.lineno - 1].strip(), change, compile(tree, "<mutant>", "exec"))
            holder[key] = site


def _sites(node: ast.AST) -> Iterator[tuple[Any, Any, ast.expr]]:
    """Expressions that are computed, each with where it is held: no annotations, decorators, imports or messages."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        held = (value, enumerate(value)) if isinstance(value, list) else (vars(node), [(name, value)])
        for key, child in held[1]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr) or _is_typing(child):
                continue
            if isinstance(child, ast.keyword) and child.arg == "strict":  # the lengths are the same by construction
                continue
            if isinstance(child, ast.expr):
                yield held[0], key, child
            yield from _sites(child)


def _is_typing(node: ast.AST) -> bool:
    """Aliases of types, and imports for the type checker."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.ImportFrom | ast.Import) or (isinstance(node, ast.Assign) and _is_alias(node))


def _is_alias(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id in ("Count", "Known", "Gradient")


def _changes(node: ast.expr) -> Iterator[ast.expr]:
    """What may stand in the place of an expression."""
    new = copy.copy(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        new.ops = [COMPARISONS[type(node.ops[0])]()]
        yield new
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        new.op = OPERATORS[type(node.op)]()
        yield new
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield new
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2 or 1.0)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        new.attr = NAMES[node.attr]
        yield new
    elif isinstance(node, ast.Name) and node.id in NAMES and isinstance(node.ctx, ast.Load):
        new.id = NAMES[node.id]
        yield new
