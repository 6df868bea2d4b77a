"""``verify``: a signed event of Checkback, and why it does not verify."""

from datetime import UTC, datetime
from typing import Any

import click

from checkback.api import profile_name
from checkback.failures import Exit, Failed
from checkback.running import ID, Running, common, running
from checkback.signature import Finding, examine


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--header", "headers", multiple=True, help="A header as received, 'webhook-id: evt_…'; several times.")
@click.option("--endpoint", type=ID, help="With the secret kept of this endpoint.")
@click.option("--secret-file", type=click.File("r"), help="A file with the signing secret(s), one a line.")
@click.option("--ignore-age", is_flag=True, help="A recording: its time does not matter.")
@common
@running
def verify(
    own: Running, file: Any, headers: tuple[str, ...], endpoint: str | None, secret_file: Any, *, ignore_age: bool
) -> None:
    """Verify a signed event, and say why it does not verify. FILE - reads the body from standard input.

    Ends with 1 where it does not: wrong_secret, stale_timestamp, altered_body, wrong_encoding, missing_header.
    """
    received = {}
    for one in headers:
        name, _, value = one.partition(":")
        received[name.strip().lower()] = value.strip()
    secrets = secret_file.read().split() if secret_file else []
    if endpoint is not None:
        kept = own.secrets.get(f"{profile_name(own.profile)}/{endpoint}")
        if kept is None:
            raise Failed(f"no secret of {endpoint} is kept here: --secret-file", Exit.CREDENTIALS)
        secrets.append(kept)
    if not secrets:
        raise Failed("which secret? --endpoint or --secret-file", Exit.USAGE)
    found = examine(file.read(), received, secrets, datetime.now(UTC))
    valid = found.finding is Finding.VALID or (ignore_age and found.finding is Finding.STALE_TIMESTAMP)
    told = {"valid": valid, "finding": found.finding.value, "detail": found.detail}
    own.show(told)
    if not valid:
        click.get_current_context().exit(Exit.NO)
