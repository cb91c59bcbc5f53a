"""Programs that end with the test that starts them, however that ends: `python mortal.py PARENT PROGRAM ...`."""

import os
import signal
import sys

from runstream_server.embedded.launch import die_with


def mortal(*command: str) -> list[str]:
    """A command that becomes another one, which gets SIGINT when this thread ends; only on Linux."""
    return [sys.executable, __file__, str(os.getpid()), *command]


def main(parent: str, *command: str) -> None:
    """Becomes the program."""
    die_with(int(parent), signal.SIGINT)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
