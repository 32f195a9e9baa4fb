"""Files on their way, each fetched once for all who wait for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from lora_registry._shelf import Loan
from lora_registry.fetch import Progress

Bring = Callable[[Progress], Coroutine[Any, Any, Loan]]
"""Fetches a file, telling how far it is."""


class _Arrival:
    def __init__(self, bring: Bring) -> None:
        self.listeners: list[Progress] = []
        self.last: tuple[int, int | None] | None = None
        self.task = asyncio.create_task(bring(self._tell))

    def _tell(self, saved: int, total: int | None) -> None:
        self.last = saved, total
        for listener in self.listeners:
            listener(saved, total)


class Arrivals:
    """What is being fetched now, by any key that says what is meant."""

    def __init__(self) -> None:
        self._under_way: dict[str, _Arrival] = {}

    async def share(self, key: str, bring: Bring, on_progress: Progress) -> Loan:
        """Wait for what `bring` brings, or for what somebody else is bringing under this key.

        It goes on while anybody waits: only when the last one is cancelled, it is broken off too,
        and has tidied up when this returns.
        """
        arrival = self._under_way.get(key)
        if arrival is None:
            arrival = self._start(key, bring)
        elif arrival.last is not None:
            on_progress(*arrival.last)
        arrival.listeners.append(on_progress)
        try:
            return (await asyncio.shield(arrival.task)).again()
        finally:
            arrival.listeners.remove(on_progress)
            if not arrival.listeners:
                self._forget(key, arrival)
                await _leave(arrival.task)

    def _start(self, key: str, bring: Bring) -> _Arrival:
        arrival = self._under_way[key] = _Arrival(bring)
        # Before anybody who waits hears of the end: whoever comes then starts anew.
        arrival.task.add_done_callback(lambda _: self._forget(key, arrival))
        return arrival

    def _forget(self, key: str, arrival: _Arrival) -> None:
        if self._under_way.get(key) is arrival:
            del self._under_way[key]


async def _leave(task: asyncio.Task[Loan]) -> None:
    """Nobody waits any longer: let the file go, or stop fetching it."""
    if not task.done():
        task.cancel()
        await asyncio.shield(asyncio.wait({task}))
    if not task.cancelled() and task.exception() is None:
        task.result().release()
