"""What a function that starts from a snapshot must renew: all its copies would share it.

Lambda's runtime has ``snapshot_restore_py`` where SnapStart may be; no other place has it. AWS Lambda Developer Guide,
"Lambda SnapStart runtime hooks for Python". Nothing else of ours is made before the first request: clients, keys and
connections come with it, and ids and secrets are drawn from the kernel.
"""

import random
from importlib import import_module
from importlib.util import find_spec

_RUNTIME = "snapshot_restore_py"


def renew_after_restore() -> None:
    """Have the waits between tries drawn anew in every copy; else all of them would come back at the same moment."""
    if find_spec(_RUNTIME) is not None:
        import_module(_RUNTIME).register_after_restore(random.seed)
