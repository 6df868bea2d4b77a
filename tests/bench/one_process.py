"""One process of a function, measured from inside: started by ``tests.bench.cold`` with nothing but the bundle.

Its input is JSON: ``bundle`` and ``module`` of the function, or the module ``bare``, which writes an item with boto3;
``events`` one after the other; the ``status`` each is answered with. It writes to standard error the seconds
of its own processor for the import, the first call and, at the median, the later ones, and how many modules it has.
"""

import json
import sys
import time
from typing import Any

given = json.loads(sys.stdin.read())
sys.path.insert(0, given["bundle"])
clock = time.process_time
began = clock()
if given["module"] == "bare":
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
    client = boto3.client("dynamodb", config=config)
    imported = clock()

    def call(event: dict[str, Any]) -> None:
        client.update_item(**event)

else:
    import importlib

    handler = importlib.import_module(given["module"]).handler
    imported = clock()

    def call(event: dict[str, Any]) -> None:
        answer = handler(event, None)
        assert answer["statusCode"] == given["status"], answer


modules_imported = len(sys.modules)
times = []
for event in given["events"]:
    start = clock()
    call(event)
    times.append(clock() - start)
later = sorted(times[1:])
sys.stderr.write(
    json.dumps(
        {
            "import": imported - began,
            "first": times[0] if times else 0,
            "warm": later[len(later) // 2] if later else None,
            "modules_imported": modules_imported,
            "modules": len(sys.modules),
        }
    )
)
