"""From the text of a filter or an order to its syntax."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from runstream_server.runs.errors import InvalidFilter, InvalidOrder
from runstream_server.runs.filter.syntax import And, Node, Not, Or, Place, Term, Value
from runstream_server.runs.limits import FILTER, FILTER_DEPTH

_PART = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\w+""", re.DOTALL)
_ESCAPED_OR_STAR = re.compile(r"\\(.)|(\*)", re.DOTALL)
_ORDER = re.compile(
    r"""\s*([^\W\d]\w*(?:\.(?:\w+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))*)(?:\s+(asc|desc))?\s*""", re.DOTALL
)

_EXPECTED = (
    ("OPERATOR", "an operator after the field: = != < <= > >= or :"),
    ("WORD", "a value: a word, or text in quotes"),
    ("FIELD", "a field such as status, NOT, or ("),
    ("RPAR", "a closing parenthesis"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a listing is ordered by."""

    path: Sequence[str]
    """The field, taken apart at its dots."""

    descending: bool


def parse_filter(text: str) -> Node | None:
    """Takes a filter apart; None when it is empty.

    Raises:
        InvalidFilter: It is too long or too deep, or breaks the grammar; says where.
    """
    if len(text) > FILTER:
        raise InvalidFilter(f"up to {FILTER} characters; got {len(text)}", 1, FILTER + 1)
    if "\0" in text:
        raise InvalidFilter("text cannot contain the character NUL; remove it", 1, text.index("\0") + 1)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    return tree.node if isinstance(tree, _Nested) else None


def parse_order(text: str) -> Order:
    """Takes an order apart: a field, then ` asc` or ` desc`.

    Raises:
        InvalidOrder: It is not of that form.
    """
    match = _ORDER.fullmatch(text) if len(text) <= FILTER and "\0" not in text else None
    if match is None:
        raise InvalidOrder(f"expected a field, then desc for descending order; got {text[:80]!r}")
    return Order(_parts(match[1]), descending=match[2] == "desc")


@cache
def _parser() -> Lark:
    return Lark(
        Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        transformer=_Builder(),
        maybe_placeholders=False,
    )


@dataclass(frozen=True, slots=True)
class _Nested:
    node: Node
    depth: int


@v_args(inline=True)
class _Builder(Transformer[Token, _Nested | None]):
    """Builds the tree while parsing, from its leaves up; never recurses."""

    def start(self, expression: _Nested | None = None) -> _Nested | None:
        return expression

    def expression(self, *parts: _Nested) -> _Nested:
        return _joined(And, parts)

    def sequence(self, *parts: _Nested) -> _Nested:
        return _joined(And, parts)

    def factor(self, *parts: _Nested) -> _Nested:
        return _joined(Or, parts)

    def term(self, part: _Nested) -> _Nested:
        return part

    def negation(self, part: _Nested) -> _Nested:
        return _Nested(Not(part.node), part.depth + 1)

    def group(self, parenthesis: Token, part: _Nested) -> _Nested:
        if part.depth >= FILTER_DEPTH:
            place = _place(parenthesis)
            raise InvalidFilter(f"up to {FILTER_DEPTH} levels deep; this goes deeper", place.line, place.column)
        return _Nested(part.node, part.depth + 1)

    def restriction(self, field: Token, operator: Token, value: Value) -> _Nested:
        return _Nested(Term(_parts(field), str(operator), value, _place(field)), 0)

    def value(self, token: Token) -> Value:
        quoted = token.type == "QUOTED"
        return Value(_pieces(token[1:-1] if quoted else token), quoted, _place(token))


def _joined(kind: type[And] | type[Or], parts: Sequence[_Nested]) -> _Nested:
    if len(parts) == 1:
        return parts[0]
    return _Nested(kind([part.node for part in parts]), max(part.depth for part in parts))


def _parts(field: str) -> Sequence[str]:
    return [_unescaped(part[1:-1]) if part[0] in "\"'" else part for part in _PART.findall(field)]


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _pieces(text: str) -> Sequence[str]:
    """The text without its escapes, taken apart at each star that is not escaped."""
    pieces, start = [""], 0
    for match in _ESCAPED_OR_STAR.finditer(text):
        pieces[-1] += text[start : match.start()] + (match[1] or "")
        if match[2]:
            pieces.append("")
        start = match.end()
    pieces[-1] += text[start:]
    return pieces


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


def _explained(error: UnexpectedInput, text: str) -> InvalidFilter:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
        return InvalidFilter(f"the filter ends here; expected {_expected(error)}", line, column)
    found = str(error.token) if isinstance(error, UnexpectedToken) else text[error.pos_in_stream or 0]
    if isinstance(error, UnexpectedCharacters) and found in "\"'":
        return InvalidFilter("text in quotes that does not end, or has no place here", error.line, error.column)
    return InvalidFilter(f"unexpected {found[:40]!r}; expected {_expected(error)}", error.line, error.column)


def _expected(error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedToken):
        names = set(error.expected)
    else:
        names = set(error.allowed or ()) if isinstance(error, UnexpectedCharacters) else set()
    return next((words for name, words in _EXPECTED if name in names), "AND, OR, another term, or the end")
