"""What every command is given: the profile, and how to print. ``--json`` and ``--profile`` may stand anywhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from checkback import printing
from checkback.api import Api, Session, opened
from checkback.failures import Exit, Failed
from checkback.secrets_kept import Secrets, secrets
from checkback.unfit import NoKey, Unfit


@dataclass
class Running:
    """One run of the command line."""

    profile: str | None = None
    json: bool = False

    @cached_property
    def session(self) -> Session:
        """The profile's API, closed at the end of the command; raises Failed where nobody is logged in."""
        found = opened(self.profile)
        click.get_current_context().call_on_close(found.api.close)
        return found

    @property
    def api(self) -> Api:
        """The API."""
        return self.session.api

    @cached_property
    def secrets(self) -> Secrets:
        """Where secrets are kept."""
        return secrets()

    def keep(self, own: str, secret: str) -> None:
        """Keep a secret of something of this profile."""
        self.secrets.keep(self.session.secret_name(own), secret)

    def kept(self, own: str) -> str | None:
        """A kept secret of something of this profile."""
        return self.secrets.get(self.session.secret_name(own))

    def show(self, document: Mapping[str, Any], names: Sequence[str] | None = None) -> None:
        """One thing."""
        if self.json:
            printing.as_json(document)
        else:
            printing.facts(document, names)

    def rows(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, nothing: str) -> None:
        """A list of things; as JSON one a line."""
        if self.json:
            for own in rows:
                printing.as_json(own)
        else:
            printing.table(rows, columns, nothing=nothing)

    def say(self, text: str) -> None:
        """A word beside the output."""
        click.echo(text, err=True)


class Id(click.ParamType):
    """An id, which stands in a path: nothing that would lead to another one."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id as it is."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(value)):
            self.fail(f"{value!r} is no id", param, ctx)
        return str(value)


ID = Id()
running = click.make_pass_decorator(Running, ensure=True)


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.find_root().ensure_object(Running), str(parameter.name), value)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json`` and ``--profile``."""
    command = click.option(
        "--json", is_flag=True, callback=_set, expose_value=False, help="Print JSON, one document a line."
    )(command)
    return click.option("--profile", callback=_set, expose_value=False, help="Which profile; default: the one in use.")(
        command
    )


class Told(click.Group):
    """A group whose failures are printed as JSON where JSON was asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run what was asked for."""
        try:
            return super().invoke(ctx)
        except Failed as failed:
            self._tell(ctx, failed)
            raise
        except Unfit as unfit:
            failed = Failed(str(unfit), Exit.CREDENTIALS if isinstance(unfit, NoKey) else Exit.USAGE)
            self._tell(ctx, failed)
            raise failed from unfit

    @staticmethod
    def _tell(ctx: click.Context, failed: Failed) -> None:
        if ctx.find_root().ensure_object(Running).json:
            printing.as_json(failed.facts)


most = click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
"""How long a list may become."""
