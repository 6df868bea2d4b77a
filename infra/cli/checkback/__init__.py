"""Checkback's command line: a client of its API alone, that knows nothing of AWS and nothing of the service's code."""

import sys

# httpx has a command line of its own, for which it loads rich and pygments where they are installed: a third of the
# time in which a command of ours starts.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
