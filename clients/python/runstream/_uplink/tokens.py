"""Which tokens the spools of a group are carried with, and which of those that were stopped for one go on."""

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from runstream._channel import Connection
from runstream._channel.tokens import Alternatives, Credential, find_token
from runstream._spool.events import last_stop
from runstream._spool.format import Header, SpoolDamaged
from runstream._spool.places import events_of, progress_of, spools_in
from runstream._spool.progress import ProgressFile, read_progress
from runstream._spool.reader import read_header
from runstream._spool.tokens import later_tokens, noted_token

MAX_KEPT: Final = 32
"""Connections that are kept for whoever comes with the same token."""


class SpoolTokens:
    """The credentials of the spools of one group.

    A spool goes with the token that its writer had, or has by now. Where the services refuse it, those follow that this
    user has stored since, and that other writers of the workspace came with.
    """

    def __init__(self, group: Path, address: str = "") -> None:
        """`address` is where everything goes, instead of where each spool says."""
        self._group = group
        self._address = address
        self._credentials: dict[tuple[str, str, str], Alternatives] = {}

    def credential_of(self, spool: Path) -> Alternatives:
        """The credential of a spool: the same for all that one would make the same calls with.

        Raises:
            OSError: The spool cannot be read.
            SpoolDamaged: Its header cannot be read.
        """
        header = read_header(spool)
        address, workspace = self._address or header.address, _workspace(header)
        key = address, header.token, workspace
        if key not in self._credentials:
            self._credentials[key] = Alternatives(
                lambda: noted_token(header.token, address),
                lambda: find_token(address),
                otherwise=lambda: later_tokens(address, header.run),
            )
        return self._credentials[key]

    async def drop_unused(self, used: Collection[Credential]) -> None:
        """Closes connections that nothing is carried by any more, as there is one for each token."""
        if len(self._credentials) <= MAX_KEPT:
            return
        for key, credential in list(self._credentials.items()):
            if credential not in used and not credential.was_refused:
                self._credentials.pop(key)
                await Connection.drop(key[0], credential)

    def go_on(self, running: Collection[Path]) -> None:
        """Has spools tried again that were stopped for their token and have another one now."""
        for spool in self.denied():
            with contextlib.suppress(OSError, SpoolDamaged):  # somebody just removed it, for example
                if spool not in running and self.credential_of(spool).is_untried:
                    _start_again(spool)

    def denied(self) -> list[Path]:
        """The spools that were stopped for their token."""
        return [spool for spool in spools_in(self._group) if _is_denied(spool)]


def notes_in(root: Path) -> set[str]:
    """The notes that the spools of all groups name."""
    headers = (_header(spool) for group in root.glob("*/") for spool in spools_in(group))
    return {header.token for header in headers if header is not None and header.token}


def _start_again(spool: Path) -> None:
    progress = ProgressFile(progress_of(spool))
    progress.save(progress.progress._replace(stopped=False))
    progress.close()


def _is_denied(spool: Path) -> bool:
    progress = read_progress(progress_of(spool))
    if progress is None or not progress.stopped or _header(spool) is None:
        return False
    stop = last_stop(events_of(spool))
    return stop is not None and stop.is_denial


def _workspace(header: Header) -> str:
    return header.run.partition("/runs/")[0]


def _header(spool: Path) -> Header | None:
    try:
        return read_header(spool)
    except (OSError, SpoolDamaged):
        return None
