"""Small faults for a source: one operator, constant, branch or call is replaced by another."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Fault", "faults_in", "with_fault"]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
PAIRS = [
    ("min", "max"),
    ("any", "all"),
    ("floor", "ceil"),
    ("sum", "mean"),
    ("argmin", "argmax"),
    ("ones_like", "zeros_like"),
    ("new_ones", "new_zeros"),
    ("clamp_min", "clamp_max"),
]
NAMES = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
# Names that only matter to a type checker.
UNTOUCHED = {"__all__"}


@dataclass(frozen=True)
class Fault:
    """One small change of a source.

    Attributes:
        place: Names of the class and function in which it is, joined by dots; empty for the module itself.
        line: Line number in the source, from 1.
        before: The original expression or statement.
        after: Its replacement.
    """

    place: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.place or 'module'}: {self.before} -> {self.after}"


def faults_in(source: str) -> list[Fault]:
    """Returns all faults of a source, in the order of its lines.

    Args:
        source: Python code.
    """
    return [fault for fault, _, _ in _walk(ast.parse(source))]


def with_fault(source: str, number: int) -> ast.Module:
    """Returns the syntax tree of a source with one of its faults.

    Args:
        source: Python code.
        number: Number of the fault in `faults_in`.
    """
    tree = ast.parse(source)
    for found, (_, node, new) in enumerate(_walk(tree)):
        if found == number:
            _Replace(node, new).visit(tree)
            return ast.fix_missing_locations(tree)
    raise IndexError(f"there is no fault {number}")


class _Replace(ast.NodeTransformer):
    """Replaces one node by another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self.new, node) if node is self.old else self.generic_visit(node)


def _walk(tree: ast.Module) -> Iterator[tuple[Fault, ast.AST, ast.AST]]:
    """Yields each fault, the node that it changes, and the replacement."""
    yield from _inside(tree, ())


def _inside(node: ast.AST, place: tuple[str, ...]) -> Iterator[tuple[Fault, ast.AST, ast.AST]]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        place = (*place, node.name)
    for new in _changed(node):
        fault = Fault(".".join(place), getattr(node, "lineno", 0), _text(node), _text(new))
        yield fault, node, new
    for child in _children(node):
        yield from _inside(child, place)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node that are executed, without annotations, docstrings and lists of names."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None and not any(getattr(target, "id", "") in UNTOUCHED for target in targets):
            yield node.value
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    new: ast.AST = copy.copy(node)
    match node, new:
        case ast.Compare(), ast.Compare() if len(node.ops) == 1:
            new.ops = [COMPARISONS[type(node.ops[0])]()]
            yield new
        case ast.BinOp(), ast.BinOp() if type(node.op) in OPERATORS and not _is_text(node):
            new.op = OPERATORS[type(node.op)]()
            yield new
        case ast.BoolOp(), ast.BoolOp():
            new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield new
        case ast.UnaryOp(op=ast.Not() | ast.USub()), _:
            yield node.operand
        case ast.Constant(value=bool(value)), ast.Constant():
            new.value = not value
            yield new
        case ast.Constant(value=int(value) | float(value)), ast.Constant():
            new.value = value + 1
            yield new
        case ast.If() | ast.IfExp(), ast.If() | ast.IfExp():
            new.test = ast.UnaryOp(ast.Not(), node.test)
            yield new
        case ast.Expr(value=ast.Call()), _:
            yield ast.Pass()
        case ast.Attribute(attr=name), ast.Attribute() if name in NAMES:
            new.attr = NAMES[name]
            yield new


def _is_text(node: ast.BinOp) -> bool:
    """Whether the operation joins text, which only affects messages."""
    return any(
        isinstance(part, ast.JoinedStr) or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in (node.left, node.right)
    )


def _text(node: ast.AST) -> str:
    """A node as one short line; for a branch, only its condition."""
    if isinstance(node, ast.If):
        return f"if {_text(node.test)}"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
