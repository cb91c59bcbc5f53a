"""`completion`."""

import click
from click.shell_completion import get_completion_class

from runstream._cli.commands import Command

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_RUNSTREAM_COMPLETE"

EXAMPLES = """\
\b
Examples:
  eval "$(runstream completion bash)"       # in ~/.bashrc
  eval "$(runstream completion zsh)"        # in ~/.zshrc
  runstream completion fish | source        # in ~/.config/fish/config.fish
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell."""
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(context.find_root().command, {}, "runstream", VARIABLE).source())
