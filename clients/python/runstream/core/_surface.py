"""One body of code, two forms of surface: blocking (`runstream.core`) and awaiting (`runstream.aio`).

What a class does is written once, as coroutines, in a class of its own (`RunCalls`). Two small classes make it public:

    class Run(RunCalls[...], Blocking): ...      # run.tag("a") returns when it is done
    class Run(RunCalls[...], Awaiting): ...      # await run.tag("a")

`@dual` on a coroutine gives each form its method: to the blocking one a function that runs the coroutine on the
background loop of the process, to the awaiting one the coroutine itself, on the loop of the caller. `@dual_class` does
the same for methods of the class and `@dual_local` for plain functions that never wait. Type checkers see the exact
signature in both forms, and refuse a call of such a method from within the shared body: it calls coroutines there.
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from runstream._channel import loop

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """Marks a class whose methods return when they are done."""


class Awaiting:
    """Marks a class whose methods are coroutines."""


class dual(Generic[P, T]):  # noqa: N801
    """A method of both forms, written as a coroutine."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._awaiting: Callable[..., Any] = function
        self._blocking: Callable[..., Any] = _blocking(function)
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: Blocking | None, owner: type[Blocking]) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Awaiting | None, owner: type[Awaiting]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self._of(owner).__get__(instance, owner)

    def _of(self, owner: type[Any]) -> Any:
        return self._awaiting if issubclass(owner, Awaiting) else self._blocking


class dual_class(dual[P, T]):  # noqa: N801
    """A method of the class in both forms, written as a coroutine with the class as first parameter."""

    @overload
    def __get__(self, instance: Blocking | None, owner: type[Blocking]) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Awaiting | None, owner: type[Awaiting]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self._of(owner).__get__(owner, type(owner))


class dual_local(Generic[P, T]):  # noqa: N801
    """A method of both forms, written as a function that does not wait for anything."""

    def __init__(self, function: Callable[Concatenate[Any, P], T]) -> None:
        self._awaiting: Callable[..., Any] = _awaiting(function)
        self._blocking: Callable[..., Any] = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: Blocking | None, owner: type[Blocking]) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Awaiting | None, owner: type[Awaiting]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        function = self._awaiting if issubclass(owner, Awaiting) else self._blocking
        return function.__get__(instance, owner)


def _blocking(function: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    @functools.wraps(function)
    def blocking(*args: Any, **kwargs: Any) -> T:
        return loop.run(function(*args, **kwargs))

    return blocking


def _awaiting(function: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    @functools.wraps(function)
    async def awaiting(*args: Any, **kwargs: Any) -> T:
        return function(*args, **kwargs)

    return awaiting
