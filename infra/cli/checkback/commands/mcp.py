"""``mcp``: the same API as tools for a model, over standard input and output."""

import click

from checkback.failures import Exit, Failed
from checkback.running import Running, common, running


@click.command()
@common
@running
def mcp(own: Running) -> None:
    """Serve tools over MCP (stdio) with this profile's token: reads, retry and preview; nothing erases or writes to
    a shopper. Wants the extra: checkback[mcp].
    """
    try:
        from checkback.mcp_server import serve
    except ImportError as missing:
        raise Failed("install the extra: uvx --from 'checkback[mcp]' checkback mcp", Exit.USAGE) from missing
    serve(own.api)
