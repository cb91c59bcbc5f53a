"""Confines requests for many runs to those below the run of a token."""

import re
from typing import Any

from runstream_server.auth.errors import RoleTooSmall
from runstream_server.auth.model import Role
from runstream_server.names import RunName

_ABOVE = re.compile(r"\b(parent|ancestor|root)\b")


def confine(request: Any, run: RunName) -> None:
    """Lets the filter of a request admit runs below `run` only. Where the request names runs, these decide.

    Raises:
        RoleTooSmall: It asks for the whole workspace.
    """
    if getattr(request, "names", None) or getattr(request, "runs", None):
        return
    if not _ABOVE.search(request.filter):
        raise RoleTooSmall(
            Role.READER,
            Role.RUN,
            "asking for all runs of the workspace, by a filter without parent, ancestor and root,",
        )
    # In front, where nothing of the filter gets at it: AND binds least, so it holds whatever follows.
    request.filter = f'ancestor = "{run}" AND {request.filter}'
