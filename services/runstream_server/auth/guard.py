"""Decides about calls: who makes them, and whether they may."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hmac import compare_digest
from typing import Any

from runstream_server.auth.access import ACCESS, Access, OfRun
from runstream_server.auth.calling import set_caller
from runstream_server.auth.confining import confine
from runstream_server.auth.errors import RoleTooSmall, TokenMissing, TokenUnknown
from runstream_server.auth.known import KnownTokens
from runstream_server.auth.lasting import OpenCalls
from runstream_server.auth.model import SERVICE, Caller, Role, digest_of, includes, is_secret
from runstream_server.auth.naming import Kind, Name, Named
from runstream_server.auth.reach import Reach
from runstream_server.names import ExperimentName, RunName, SnapshotName
from runstream_server.not_found import RunNotFound

AUTHORIZATION = "authorization"
_SCHEME = "bearer "


class Guards:
    """Makes the guards of methods."""

    def __init__(self, known: KnownTokens, calls: OpenCalls, service_key: str, access: Mapping[str, Access] = ACCESS):
        self._known = known
        self._calls = calls
        self._service_key = service_key.encode()
        self._access = access
        self._reach: Reach | None = None

    def ask(self, reach: Reach) -> None:
        """Says whom to ask what runs reach. Until then no token of a run is taken."""
        self._reach = reach

    def __call__(self, method: str) -> "MethodGuard | None":
        """The guard of a full method; None where not even a token is needed. A method that nobody knows is refused."""
        access = self._access.get(method, Access(Role.SERVICE))
        return None if access.role is None else MethodGuard(self, access, access.role)

    async def caller(self, context: Any) -> Caller:
        """Finds out who calls; raises an Unauthenticated."""
        return await self.holder(_shown(context))

    async def holder(self, shown: str) -> Caller:
        """Finds out who has a secret; raises an Unauthenticated."""
        if not is_secret(shown):
            if self._service_key and compare_digest(shown.encode(), self._service_key):
                return SERVICE
            raise TokenUnknown
        return await self._known.find(digest_of(shown))

    def lasting(self, caller: Caller) -> AbstractAsyncContextManager[None]:
        """Ends what happens in the context soon after the caller may no longer call."""
        return self._calls.lasting(caller)

    @property
    def reach(self) -> Reach:
        """What runs reach."""
        if self._reach is None:
            raise TokenUnknown
        return self._reach


def _shown(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == AUTHORIZATION and isinstance(value, str):
            if not value[: len(_SCHEME)].lower() == _SCHEME:
                raise TokenUnknown
            return value[len(_SCHEME) :].strip()
    raise TokenMissing


class MethodGuard:
    """Decides about the calls of one method."""

    def __init__(self, guards: Guards, access: Access, role: Role) -> None:
        self._guards = guards
        self._access = access
        self._role = role

    async def admit(self, context: Any) -> "Visit":
        """Finds out who calls; raises an Unauthenticated."""
        caller = await self._guards.caller(context)
        set_caller(caller)
        return Visit(self, caller)

    def lasting(self, caller: Caller) -> AbstractAsyncContextManager[None]:
        """Ends what happens in the context soon after the caller may no longer call."""
        return self._guards.lasting(caller)

    async def check(self, caller: Caller, request: Any) -> None:
        """Raises what the caller is told if it may not ask this.

        What is foreign comes first: it is as if it did not exist, whatever the role would allow.
        """
        if caller.workspace is not None:
            self._check_workspace(caller, str(caller.workspace), request)
        if caller.run is not None:
            await self._check_run(caller, caller.run, request)
        elif not includes(caller.role, self._role):
            raise RoleTooSmall(self._role, caller.role)

    def _check_workspace(self, caller: Caller, workspace: str, request: Any) -> None:
        inside = f"{workspace}/"
        for named in self._access.named:
            if named.of_parent:
                continue
            for text in named.texts(request):
                if not text.startswith(inside) and text != workspace:
                    self._check_name(caller, named, named.parse(text))

    def _check_name(self, caller: Caller, named: Named, name: Name) -> None:
        if name.workspace == getattr(caller.workspace, "workspace", None):
            return
        if named.kind is Kind.NEW_WORKSPACE:
            raise RoleTooSmall(Role.OPERATOR, caller.role, "making a workspace that the token does not name")
        raise named.missing(name)

    async def _check_run(self, caller: Caller, run: RunName, request: Any) -> None:
        names = [(named, self._parsed(named, request, run)) for named in self._access.named]
        if not await self._guards.reach.is_present(run):
            raise next((named.missing(name) for named, found in names for name in found), RunNotFound(run))
        if self._access.of_run is OfRun.REFUSED:
            raise RoleTooSmall(self._role, caller.role)
        for named, found in names:
            await self._check_reach(run, named, found)
        if any(named.kind is Kind.ABOVE and named.leaves_out(request) for named, _ in names):
            raise RoleTooSmall(Role.WRITER, caller.role, "making a run that is not below that of the token")
        if any(named.kind is Kind.RUN_OR_EXPERIMENT and isinstance(found[0], ExperimentName) for named, found in names):
            raise RoleTooSmall(Role.WRITER, caller.role, "changing an experiment")
        if self._access.of_run is OfRun.BELOW:
            confine(request, run)

    def _parsed(self, named: Named, request: Any, run: RunName) -> Sequence[Name]:
        found = [named.parse(text) for text in named.texts(request)]
        for name in found:
            if name.workspace != run.workspace:
                raise named.missing(name)
        return found

    async def _check_reach(self, run: RunName, named: Named, names: Sequence[Name]) -> None:
        reach = self._guards.reach
        runs = [name for name in names if isinstance(name, RunName)]
        if runs and (unreached := await reach.unreached(run, runs)) is not None:
            raise named.missing(unreached)
        for name in names:
            if not await _is_reached(reach, run, name):
                raise named.missing(name)


async def _is_reached(reach: Reach, run: RunName, name: Name) -> bool:
    if isinstance(name, ExperimentName):
        return await reach.has_experiment(run, name)
    if isinstance(name, SnapshotName):
        return await reach.has_snapshot(run, name)
    return True


class Visit:
    """One call whose caller is known."""

    __slots__ = ("_caller", "_guard")

    def __init__(self, guard: MethodGuard, caller: Caller) -> None:
        self._guard = guard
        self._caller = caller

    async def check(self, request: Any) -> None:
        """Raises what the caller is told if it may not ask this."""
        await self._guard.check(self._caller, request)

    def lasting(self) -> AbstractAsyncContextManager[None]:
        """Ends what happens in the context soon after the caller may no longer call."""
        return self._guard.lasting(self._caller)
