"""What a function that starts from a snapshot must renew: all its copies would share it.

Lambda's runtime has ``snapshot_restore_py`` where SnapStart may be; no other place has it. AWS Lambda Developer Guide,
"Lambda SnapStart runtime hooks for Python". Clients, keys and compositions come with the first request, and ids and
secrets are drawn from the kernel; the times that are remembered are those of requests. ``tests/unit/aws/test_snapshot``
holds that, and the hook renews connections all the same: who makes one at import later need not think of it.
"""

import random
from importlib import import_module
from importlib.util import find_spec

from shared.aws import clients

_RUNTIME = "snapshot_restore_py"


def renew_after_restore() -> None:
    """In every copy, draw waits between tries anew (all would come back at one moment), and open connections anew."""
    if find_spec(_RUNTIME) is not None:
        import_module(_RUNTIME).register_after_restore(_renew)


def _renew() -> None:
    random.seed()
    clients.reconnect()
