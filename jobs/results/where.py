"""`--where`: a small expression over the columns that cannot run code.

It may have comparisons (also chained), `in` and `not in` a list, `and`, `or`, `not`, names and literals:
`learning_rate < 1e-3 and method.name == 'cc'`.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from core.config.schema import did_you_mean
from core.errors import UserError
from core.seal import canonical_json
from jobs.results.names import resolve

Row = dict[str, Any]
Value = Callable[[Row], Any]

_SINGLE = re.compile(r"(?<![=<>!])=(?!=)")
LONGEST = 4000
"""The most characters of an expression."""
DEEPEST = 50
"""The most nested levels of brackets, `not` and lists."""

_ORDERED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUAL: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


class Where:
    """A parsed expression.

    Attributes:
        names: The names in it, as they were written.

    Raises:
        UserError: It is not an expression of this language.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._root = self._parse()
        self.names = _names(self._root)
        self._compile(self._root, {})

    def _parse(self) -> ast.expr:
        if len(self.text) > LONGEST:
            raise self._refuse(f"has {len(self.text):,} characters, more than {LONGEST:,}")
        try:
            root = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            single = isinstance(error, SyntaxError) and _SINGLE.search(self.text)
            raise self._refuse(f"is not an expression{' (== compares, = does not)' if single else ''}") from error
        if _is_deep(root):
            raise self._refuse(f"is nested deeper than {DEEPEST} levels")
        return root

    def matcher(self, columns: Iterable[str]) -> Value:
        """A function that tells whether a row (a mapping of column names to values) matches.

        Raises:
            UserError: A name in the expression fits no column, or several.
        """
        columns = list(columns)
        value = self._compile(self._root, {name: self._column(name, columns) for name in self.names})
        return lambda row: bool(value(row))

    def _column(self, name: str, columns: list[str]) -> str:
        try:
            return resolve(name, columns)
        except UserError as error:
            compared = [node for node in ast.walk(self._root) if isinstance(node, ast.Compare)]
            if any(_dotted(one) == name for node in compared for one in node.comparators):
                raise UserError(f"{error} A text stands in quotes: '{name}'.") from error
            raise

    def columns(self, columns: Iterable[str]) -> list[str]:
        """The columns that the expression reads."""
        columns = list(columns)
        return [resolve(name, columns) for name in self.names]

    def unmatched(self, columns: Iterable[str], values: Callable[[str], Iterable[Any]]) -> str:
        """The words on the first text in the expression that its column never holds but something like it; or nothing.

        Args:
            columns: The columns of the rows.
            values: The values of a column.
        """
        columns = list(columns)
        for node in (one for one in ast.walk(self._root) if isinstance(one, ast.Compare)):
            name, text = _dotted(node.left), getattr(node.comparators[0], "value", None)
            if not name or not isinstance(text, str) or not isinstance(node.ops[0], ast.Eq):
                continue
            there = {value for value in values(resolve(name, columns)) if isinstance(value, str)}
            if text not in there and (near := did_you_mean(text, there)):
                return f"no {name} is {text!r}{near}"
        return ""

    def _compile(self, node: ast.expr, columns: dict[str, str]) -> Value:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._compile(value, columns) for value in values]
                joined = all if isinstance(op, ast.And) else any
                return lambda row: joined(part(row) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._compile(operand, columns)
                return lambda row: not inner(row)
            case ast.Compare():
                return self._comparison(node, columns)
            case _:
                return self._operand(node, columns)

    def _comparison(self, node: ast.Compare, columns: dict[str, str]) -> Value:
        sides = [self._operand(side, columns) for side in (node.left, *node.comparators)]
        tests = [self._test(op) for op in node.ops]
        pairs = list(zip(tests, sides, sides[1:], strict=False))
        return lambda row: all(test(left(row), right(row)) for test, left, right in pairs)

    def _test(self, op: ast.cmpop) -> Callable[[Any, Any], bool]:
        if type(op) in _EQUAL:
            return _equality(_EQUAL[type(op)], is_membership=isinstance(op, ast.In | ast.NotIn))
        return self._order(_ORDERED[type(op)])

    def _order(self, test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
        def ordered(left: Any, right: Any) -> bool:
            try:
                return left is not None and right is not None and test(left, right)
            except TypeError as error:
                raise self._refuse(f"compares {left!r} with {right!r}, which have no order") from error

        return ordered

    def _operand(self, node: ast.expr, columns: dict[str, str]) -> Value:
        name = _dotted(node)
        if name:
            column = columns.get(name, name)
            return lambda row: row[column]
        literal = self._literal(node)
        return lambda _: literal

    def _literal(self, node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise self._refuse(f"may not contain `{ast.unparse(node)}`") from error
        if not _is_plain(value):
            raise self._refuse(f"may not contain `{ast.unparse(node)}`")
        return value

    def _refuse(self, what: str) -> UserError:
        return UserError(
            f"The expression {_shown(self.text)} {what}: write comparisons of names and values, joined by and, or, "
            "not, such as \"learning_rate < 1e-3 and method.name == 'cc'\"."
        )


def _equality(test: Callable[[Any, Any], bool], *, is_membership: bool) -> Callable[[Any, Any], bool]:
    """A test for equality or membership; lists are compared as JSON, because results store them so."""

    def equal(left: Any, right: Any) -> bool:
        if is_membership:
            items = right if isinstance(right, list | tuple) else [right]
            return test(_spelled(left), [_spelled(item) for item in items])
        return test(_spelled(left), _spelled(right))

    return equal


def _spelled(value: Any) -> Any:
    return canonical_json(value) if isinstance(value, list | tuple) else value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:60]}…")


def _is_deep(root: ast.AST) -> bool:
    """Whether the tree is nested too deep, found level by level, without recursion."""
    level = [root]
    for _ in range(DEEPEST):
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
        if not level:
            return False
    return True


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _names(root: ast.expr) -> list[str]:
    nodes = list(ast.walk(root))
    # `method.name` contains the node `method`: only the longest chains are names.
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return sorted({_dotted(node) for node in nodes if id(node) not in inner} - {""})


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (front := _dotted(node.value)):
        return f"{front}.{node.attr}"
    return ""
