"""One process of a function, measured from inside: started by ``tests.bench.cold`` with nothing but the bundle.

Its input is JSON: ``bundle`` and ``module`` of the function, or the module ``bare``, which writes an item with boto3;
``events`` one after the other; the ``status`` each is answered with. It writes to standard error the seconds
of its own processor for the import, the first call and, at the median, the later ones, and how many modules it has, by
package too. With ``library``, what the first event wrote is written by the function's own client for each later one,
under another key: what of a call is the library's.
"""

import importlib
import json
import sys
import time
from collections import Counter
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
    handler = importlib.import_module(given["module"]).handler
    imported = clock()

    def call(event: dict[str, Any]) -> None:
        answer = handler(event, None)
        assert answer["statusCode"] == given["status"], answer


modules_imported = len(sys.modules)
packages = Counter(
    "the standard library" if own in sys.stdlib_module_names else own
    for own in (name.partition(".")[0] for name in sys.modules)
)
times = []
events = given["events"]
if given.get("library"):
    client = importlib.import_module("shared.aws.clients").dynamodb()
    write = client.update_item
    written: list[dict[str, Any]] = []
    client.update_item = lambda **asked: written.append(asked) or write(**asked)
    call(events[0])
    events = [written[0] | {"Key": {"pk": {"S": str(own)}, "sk": {"S": "C"}}} for own in range(len(events))]

    def call(event: dict[str, Any]) -> None:
        write(**event)


for event in events:
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
            "packages": packages,
        }
    )
)
