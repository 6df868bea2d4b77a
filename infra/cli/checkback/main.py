"""The command line's entry: ``checkback``."""

from importlib import import_module

import click

from checkback.failures import Exit
from checkback.running import Told, common

_COMMANDS = {
    "login": "account",
    "logout": "account",
    "whoami": "account",
    "profiles": "account",
    "sources": "sources",
    "endpoints": "endpoints",
    "checkouts": "checkouts",
    "trigger": "trigger",
    "listen": "listen",
    "deliveries": "deliveries",
    "quarantine": "quarantine",
    "preview": "preview",
    "verify": "verify",
    "doctor": "doctor",
    "completion": "completion",
    "mcp": "mcp",
}
"""By name the module of ``checkback.commands`` that has it: loaded when it is asked for."""
_EXITS = "  ".join(f"{own.value} {own.name.lower().replace('_', ' ')}" for own in Exit)


class Commands(Told):
    """Loads a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - interface
        """In the order in which they are needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - interface
        """The command of the name."""
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"checkback.commands.{_COMMANDS[cmd_name]}"), cmd_name)
        return found


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(version("checkback"))
        except PackageNotFoundError:
            click.echo("a working tree")
        context.exit()


@click.group(cls=Commands, epilog=f"Exit codes: {_EXITS}", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@common
def cli() -> None:
    """Checkback from the command line: connect, try, watch and mend.

    CHECKBACK_API_URL and CHECKBACK_TOKEN go before what `checkback login` keeps; CHECKBACK_PROFILE names a profile.
    """
