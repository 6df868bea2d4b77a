"""``python -m checkback``."""

from checkback.main import cli

if __name__ == "__main__":
    cli()
