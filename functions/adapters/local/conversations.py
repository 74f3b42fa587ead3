"""Conversations in SQLite: a row a message, gone 30 days after it was said."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from functions.adapters.local.store import Store, utc
from functions.ports.conversations import TTL_DAYS, Message
from functions.runtime.delivery import Binding


class LocalAppend:
    """The `Append` capability, bound to one conversation of one tenant and to one delivery."""

    def __init__(self, store: Store, now: Callable[[], datetime], binding: Binding) -> None:
        self._store = store
        self._now = now
        self._binding = binding
        self._appended = 0

    def append(self, role: Literal["user", "assistant"], text: str) -> None:
        """See `Append.append`."""
        self._appended += 1
        bound, at = self._binding, self._now().timestamp()
        said = (bound.conversation, f"{bound.origin}#{self._appended}", role, text, at)
        self._store.write(
            lambda connection: connection.execute(
                "INSERT OR IGNORE INTO message (tenant, conversation, key, role, text, at, request)"
                " SELECT tenant, ?, ?, ?, ?, ?, request FROM request WHERE tenant = ? AND request = ?",  # unless erased
                (*said, bound.tenant, bound.request),
            )
        )


class LocalHistory:
    """The `History` capability, bound to one conversation of one tenant and to one delivery."""

    def __init__(self, store: Store, now: Callable[[], datetime], binding: Binding) -> None:
        self._store = store
        self._now = now
        self._binding = binding

    def history(self, *, limit: int = 20) -> Sequence[Message]:
        """See `History.history`."""
        bound = self._binding
        rows = self._store.read(
            "SELECT role, text, at, request FROM message WHERE tenant = ? AND conversation = ? AND at >= ?"
            " AND key NOT LIKE ? ORDER BY sequence DESC LIMIT ?",
            (bound.tenant, bound.conversation, _oldest(self._now()), f"{bound.origin}#%", limit),
        )
        return _oldest_first(rows)


class LocalConversations:
    """The `Conversations` port."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def messages(self, conversation: str, *, tenant: str, limit: int) -> Sequence[Message]:
        """See `Conversations.messages`."""
        rows = self._store.read(
            "SELECT role, text, at, request FROM message WHERE tenant = ? AND conversation = ? AND at >= ?"
            " ORDER BY sequence DESC LIMIT ?",
            (tenant, conversation, _oldest(self._now()), limit),
        )
        return _oldest_first(rows)


def _oldest_first(rows: Sequence[tuple[Any, ...]]) -> list[Message]:
    return [Message(role=role, text=text, at=utc(at), request=request) for role, text, at, request in reversed(rows)]


def _oldest(now: datetime) -> float:
    return (now - timedelta(days=TTL_DAYS)).timestamp()
