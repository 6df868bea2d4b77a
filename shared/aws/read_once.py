"""A DynamoDB client for one page of the console: what was read for it once is not read again.

A page asks the API several times, and each time the session, its token, the merchant. So it also shows one moment.
Whatever may write forgets all that was read. Nothing is kept between two pages.
"""

from collections.abc import Callable
from typing import Any


class ReadOnce:
    """Answers reads that were asked before as they were answered then; everything else is the client's own."""

    def __init__(self, client: Any) -> None:
        """``client`` is DynamoDB's. Make one for each page."""
        self._client = client
        self._answers: dict[str, Any] = {}

    def get_item(self, **asked: Any) -> Any:
        """As the client's."""
        return self._once(self._client.get_item, asked)

    def batch_get_item(self, **asked: Any) -> Any:
        """As the client's; what was left unread is asked for again."""
        answer = self._once(self._client.batch_get_item, asked)
        if answer.get("UnprocessedKeys"):
            self._answers.clear()
        return answer

    def query(self, **asked: Any) -> Any:
        """As the client's."""
        return self._once(self._client.query, asked)

    def __getattr__(self, name: str) -> Any:
        """Any other operation: it may write."""
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def called(*arguments: Any, **named: Any) -> Any:
            try:
                return found(*arguments, **named)
            finally:
                self._answers = {}

        return called

    def _once(self, call: Callable[..., Any], asked: dict[str, Any]) -> Any:
        # Threads share it: who began before a write must not keep what was true before it.
        answers, name = self._answers, f"{call.__name__} {asked!r}"
        if name not in answers:
            answers[name] = call(**asked)
        return answers[name]
