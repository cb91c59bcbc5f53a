"""Queries over results, in JMESPath."""

from collections.abc import Callable
from typing import Any

import click

Query = Callable[[Any], Any]


def compile_query(text: str) -> Query:
    """The query that `text` says, as a function from a result to what it selects.

    Raises:
        click.UsageError: It cannot be understood; from the function: it does not suit the result.
    """
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise _wrong(text, error) from error

    def select(result: Any) -> Any:
        try:
            return compiled.search(result)
        except JMESPathError as error:
            raise _wrong(text, error) from error

    return select


def _wrong(text: str, error: Exception) -> click.UsageError:
    return click.UsageError(f"The query {text!r} is wrong. {error}")
