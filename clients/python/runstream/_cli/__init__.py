"""The command line `runstream`: commands decode, make one call, show.

Results go to stdout, messages and progress to stderr; how the program ends is in `exits`. Importing this package
imports neither grpc nor the SDK: a group of commands is loaded when it is used.
"""

__all__ = ["main"]


def main() -> None:
    """Runs the command line of this process and exits."""
    from runstream._cli.program import program

    program.main(prog_name="runstream")
