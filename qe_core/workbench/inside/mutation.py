"""Mutants: the module with one small mistake made in one function.

Belongs here: the operators, the list of mutants of a source, and putting one into the running module. Does
not belong here: which mutants are sampled (`inside.survey`) and who kills them (`inside.measure`).
"""

from __future__ import annotations

import ast
import copy
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType

from .universe import FunctionNode, first_line

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
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
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One mistake: where, of which kind, and the number by which `mutate` finds it again."""

    number: int
    operator: str
    line: int
    function_line: int


def _replacement(node: ast.AST) -> tuple[str, ast.AST] | None:
    """The operator that applies to a node and what it makes of it."""
    match node:
        case ast.Compare(ops=[comparison]) if type(comparison) in _COMPARISONS:
            swapped = _COMPARISONS[type(comparison)]()
            return "comparison", ast.Compare(node.left, [swapped], node.comparators)
        case ast.BinOp(op=arithmetic) if type(arithmetic) in _ARITHMETIC:
            return "arithmetic", ast.BinOp(node.left, _ARITHMETIC[type(arithmetic)](), node.right)
        case ast.BoolOp(op=ast.And() | ast.Or() as junction):
            return "boolean", ast.BoolOp(
                ast.Or() if isinstance(junction, ast.And) else ast.And(), node.values
            )
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            return "return", ast.Return(ast.Constant(None))
        case ast.If() | ast.While() | ast.IfExp() if not _is_endless(node):
            negated = copy.copy(node)
            negated.test = ast.UnaryOp(ast.Not(), node.test)
            return "condition", negated
        case ast.Constant(value=bool() | int() | str() as constant) if constant != "":
            return "constant", ast.Constant(_other(constant))
        case _:
            return None


def _other(constant: bool | int | str) -> bool | int | str:
    match constant:
        case bool():
            return not constant
        case int():
            return constant + 1
        case str():
            return ""


def _is_endless(node: ast.AST) -> bool:
    return isinstance(node, ast.While) and isinstance(node.test, ast.Constant)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


_Site = tuple[FunctionNode, ast.AST, str, int | None, tuple[str, ast.AST]]


def _sites(tree: ast.Module) -> Iterator[_Site]:
    """Every place a mutant can be made, in source order: function, parent, field, index, mutation."""
    yield from _visit(tree, None)


def _visit(parent: ast.AST, function: FunctionNode | None) -> Iterator[_Site]:
    for name, value in ast.iter_fields(parent):
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if not isinstance(child, ast.AST) or _is_declaration(parent, name):
                continue
            inner = child if isinstance(child, FunctionNode) else function
            if (
                function is not None
                and not isinstance(parent, ast.JoinedStr)
                and (found := _replacement(child))
            ):
                yield function, parent, name, index if isinstance(value, list) else None, found
            yield from _visit(child, inner)


def _is_declaration(parent: ast.AST, field: str) -> bool:
    """Whether a field is evaluated when a function is made, not when it runs, or never."""
    return field == "annotation" or (
        isinstance(parent, FunctionNode) and field in {"decorator_list", "args", "returns"}
    )


def mutants(source: str) -> list[Mutant]:
    """All mutants of a source text."""
    found = []
    for number, (function, parent, field, index, (operator, _)) in enumerate(_sites(ast.parse(source))):
        value = getattr(parent, field)
        node = value if index is None else value[index]
        found.append(Mutant(number, operator, node.lineno, first_line(function)))
    return found


def mutate(source: str, number: int) -> ast.Module:
    """The syntax tree of the source with one mutant made."""
    tree = ast.parse(source)
    for position, (_, parent, field, index, (_, replacement)) in enumerate(_sites(tree)):
        if position == number:
            value = getattr(parent, field)
            original = value if index is None else value[index]
            fresh = ast.copy_location(copy.copy(replacement), original)
            if index is None:
                setattr(parent, field, fresh)
            else:
                value[index] = fresh
            return ast.fix_missing_locations(tree)
    raise IndexError(f"the source has no mutant {number}")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


_Key = tuple[str, int]

Changed = dict[_Key, CodeType]
"""The changed code of functions, by qualified name and first line."""


class Patcher:
    """Puts mutants into a module that is imported already, by exchanging the code of its functions."""

    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._source = source
        self._functions: dict[_Key, list[FunctionType]] = {}
        for thing in gc.get_objects():
            # isinstance() would ask a weak proxy for its class, and one whose object is gone cannot answer.
            if type(thing) is FunctionType and thing.__code__.co_filename == file:
                key = (thing.__code__.co_qualname, thing.__code__.co_firstlineno)
                self._functions.setdefault(key, []).append(thing)
        self._original = {
            (code.co_qualname, code.co_firstlineno): code for code in _codes(compile(source, file, "exec"))
        }

    def changed(self, number: int) -> Changed:
        """The code of living functions that a mutant changes; empty when nothing that runs changes."""
        tree = mutate(self._source, number)
        return {
            (code.co_qualname, code.co_firstlineno): code
            for code in _codes(compile(tree, self._file, "exec"))
            if self._is_exchangeable(code)
        }

    def _is_exchangeable(self, code: CodeType) -> bool:
        key = (code.co_qualname, code.co_firstlineno)
        original = self._original.get(key)
        return (
            key in self._functions
            and original is not None
            and (original != code and original.co_freevars == code.co_freevars)
        )

    def exchange(self, codes: Changed) -> None:
        """Put changed code into the functions for good; to be called in a forked process that ends soon."""
        for key, code in codes.items():
            for function in self._functions[key]:
                function.__code__ = code
