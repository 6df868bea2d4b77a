"""``sources``: the checkout providers that are connected."""

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

import click

from checkback.failures import Exit, Failed
from checkback.running import ID, Running, common, most, running
from checkback.samples import ProviderSamples, providers

_COLUMNS = ("id", "provider", "name", "url", "created_at")


@click.group()
def sources() -> None:
    """Checkout providers that are connected."""


@sources.command("list")
@most
@common
@running
def list_(own: Running, limit: int) -> None:
    """List the sources."""
    own.rows(list(own.api.listed("/v1/sources", most=limit)), _COLUMNS, nothing="no source: checkback sources add")


@sources.command("providers")
@common
@running
def providers_(own: Running) -> None:
    """List the providers that can be connected."""
    known = own.api.call("GET", "/v1/providers")["data"]
    own.rows(known, ("name", "title", "authentication"), nothing="no provider")


@sources.command()
@click.argument("provider")
@click.option("--name", help="A name of your own.")
@click.option("--secret-stdin", is_flag=True, help="Read the provider's secret from standard input.")
@click.option("--public-key", type=click.File("r"), help="File of the provider's public key (Wix).")
@click.option("--settings", default="{}", help='Settings as JSON, such as \'{"currency": "INR"}\'.')
@click.option("--test-keys", is_flag=True, help="Make the keys the provider would have, to try it with `trigger`.")
@click.option("--show-secret", is_flag=True, help="Print the secret, to paste it at the provider.")
@common
@running
def add(own: Running, provider: str, **given: Any) -> None:
    """Connect a provider. Its secret is kept, and printed only with --show-secret."""
    settings = _settings(given["settings"])
    credentials: dict[str, str] = {}
    signs_with: str | None = None
    if given["secret_stdin"]:
        credentials["secret"] = click.get_text_stream("stdin").read().strip()
    if given["public_key"]:
        credentials["public_key"] = given["public_key"].read()
    if given["test_keys"] and provider in providers():
        samples = ProviderSamples(provider)
        signs_with, made = _made_keys(samples.test_keys)
        credentials = made | credentials
        settings = {**samples.settings, **settings}
    body = {"provider": provider, "name": given["name"], "credentials": credentials, "settings": settings}
    made_source = own.api.call("POST", "/v1/sources", json={name: one for name, one in body.items() if one})
    shown = made_source.pop("credentials", {})
    secret = signs_with or shown.get("secret")
    if secret:
        own.keep(made_source["id"], secret)
    own.keep(f"{made_source['id']}/url", made_source["url"])
    if given["show_secret"]:
        made_source["secret"] = shown.get("secret")
    else:
        made_source["url"] = _masked(made_source["url"])
    own.show(made_source, ("id", "provider", "url", *(("secret",) if given["show_secret"] else ())))


@sources.command()
@click.argument("source_id", type=ID)
@common
@running
def show(own: Running, source_id: str) -> None:
    """Show a source and its settings."""
    own.show(own.api.call("GET", f"/v1/sources/{source_id}"))


@sources.command()
@click.argument("source_id", type=ID)
@common
@running
def secret(own: Running, source_id: str) -> None:
    """Print the secret, and the URL with its token, of a source that was connected here."""
    found = own.kept(source_id)
    if found is None and own.kept(f"{source_id}/url") is None:
        raise Failed(f"no secret of {source_id} is kept here; the API shows it once", Exit.NOT_FOUND)
    own.show({"id": source_id, "secret": found, "url": own.kept(f"{source_id}/url")}, ("secret", "url"))


@sources.command()
@click.argument("source_id", type=ID)
@click.confirmation_option(prompt="Disconnect this source? Its checkouts stay.")
@common
@running
def remove(own: Running, source_id: str) -> None:
    """Disconnect a source."""
    own.api.call("DELETE", f"/v1/sources/{source_id}")
    for name in (source_id, f"{source_id}/url"):
        own.secrets.drop(own.session.secret_name(name))
    own.show({"id": source_id, "removed": True})


def _masked(url: str) -> str:
    """The URL without the token that proves the sender where the provider signs nothing."""
    head, mark, _ = url.partition("token=")
    return f"{head}{mark}***" if mark else url


def _settings(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError as wrong:
        raise Failed(f"--settings is not JSON: {wrong}", Exit.USAGE) from wrong
    if not isinstance(settings, dict):
        raise Failed("--settings is not a JSON object", Exit.USAGE)
    return settings


def _made_keys(wanted: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """What a trial signs with, and what the source is told of it: for providers that make their keys themselves."""
    if wanted.get("secret") == "whsec":
        made = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        return made, {"secret": made}
    if wanted.get("secret") == "plain":
        made = secrets.token_urlsafe(32)
        return made, {"secret": made}
    if wanted.get("public_key") == "rsa":
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return private.decode(), {"public_key": public.decode()}
    return None, {}
