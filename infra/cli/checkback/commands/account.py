"""``login``, ``logout``, ``whoami``, ``profiles``."""

import sys

import click

from checkback.api import Api, profile_name
from checkback.failures import Exit, Failed
from checkback.profiles import Profiles
from checkback.running import Running, common, running


@click.command()
@click.option("--api-url", required=True, help="Where the API answers, such as https://checkback.example.com.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input instead of asking for it.")
@common
@running
def login(own: Running, api_url: str, *, token_stdin: bool) -> None:
    """Keep a merchant's token under a profile, once the API has accepted it.

    The token is asked for, or read with --token-stdin: never an argument, which others could see.
    """
    token = sys.stdin.read().strip() if token_stdin else click.prompt("Token", hide_input=True, err=True)
    if not token:
        raise Failed("no token was given", Exit.USAGE)
    with Api(api_url, token) as api:
        merchant = api.call("GET", "/v1/merchant")
    name = profile_name(own.profile)
    own.secrets.keep(f"{name}/token", token)
    Profiles(Profiles.read().urls | {name: api_url.rstrip("/")}, name).keep()
    own.show({"profile": name, "api_url": api_url.rstrip("/"), "merchant": merchant["id"], "name": merchant["name"]})


@click.command()
@common
@running
def logout(own: Running) -> None:
    """Forget a profile and its token. The token itself stays valid: DELETE /v1/tokens/{id} revokes it."""
    name, known = profile_name(own.profile), Profiles.read()
    if name not in known.urls:
        raise Failed(f"profile {name} is not known", Exit.NOT_FOUND)
    own.secrets.drop(f"{name}/token")
    rest = {one: url for one, url in known.urls.items() if one != name}
    Profiles(rest, known.current if known.current != name else next(iter(rest), None)).keep()
    own.show({"profile": name, "forgotten": True})


@click.command()
@common
@running
def whoami(own: Running) -> None:
    """Whose token it is, and where."""
    merchant = own.api.call("GET", "/v1/merchant")
    names = ("id", "name", "country", "currency", "timezone", "store_domains")
    shown = {name: merchant.get(name) for name in names}
    own.show({"profile": own.session.profile, "api_url": own.api.url, **shown})


@click.command()
@click.option("--use", help="Make this profile the one in use.")
@common
@running
def profiles(own: Running, use: str | None) -> None:
    """List the profiles, or choose one."""
    known = Profiles.read()
    if use is not None:
        if use not in known.urls:
            raise Failed(f"profile {use} is not known: checkback login --profile {use}", Exit.NOT_FOUND)
        known = Profiles(known.urls, use)
        known.keep()
    rows = [{"profile": name, "api_url": url, "in_use": name == known.current} for name, url in known.urls.items()]
    own.rows(rows, ("profile", "api_url", "in_use"), nothing="no profile yet: checkback login")
