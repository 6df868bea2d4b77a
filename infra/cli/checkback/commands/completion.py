"""``completion``: what a shell needs to complete commands."""

import click
from click.shell_completion import get_completion_class

from checkback.failures import Exit, Failed


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands: eval "$(checkback completion bash)"."""
    found = get_completion_class(shell)
    if found is None:
        raise Failed(f"{shell} is not known", Exit.USAGE)
    root = context.find_root().command
    click.echo(found(root, {}, "checkback", "_CHECKBACK_COMPLETE").source())
