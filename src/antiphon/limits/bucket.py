"""A token bucket: it holds a minute's worth and refills evenly. Pure: the caller brings the time."""

import math
from typing import NamedTuple

REFILL_S = 60.0
_SLACK = 1e-6
"""What sums of fractions may be off by, in tokens: a wait that is over has to be over."""


class Gauge(NamedTuple):
    """How a bucket stands. Of several, `min` is the one with the least left."""

    level: float
    limit: int
    full_in_s: float


class Bucket:
    """Begins full. The level may be negative (an overdraft), and is never above `capacity`.

    Times are a monotonic clock's. After a step back nothing is refilled until the clock is where it was; a step back of
    more than REFILL_S counts as another clock, and its time is taken on.
    """

    __slots__ = ("_at_s", "_level", "capacity")

    def __init__(self, capacity: int, now_s: float) -> None:
        self.capacity = capacity
        self._level = float(capacity)
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        elapsed_s = now_s - self._at_s
        if elapsed_s > 0:
            level = self._level + elapsed_s * self.capacity / REFILL_S
            self._level = level if level < self.capacity else float(self.capacity)
            self._at_s = now_s
        elif elapsed_s < -REFILL_S:
            self._at_s = now_s
        return self._level

    def take(self, num: float, now_s: float) -> None:
        """Put back where `num` is negative, as far as it fits. Whether there is enough is `seconds_until`'s to say."""
        level = (self._level if now_s == self._at_s else self.level(now_s)) - num
        self._level = level if level < self.capacity else float(self.capacity)

    def seconds_until(self, num: float, now_s: float) -> float:
        """How long until `num` may be taken; 0 is now. More than fits may be taken once the bucket is full."""
        level = self._level if now_s == self._at_s else self.level(now_s)
        if num <= level:
            return 0.0
        missing = (num if num < self.capacity else max(self.capacity, min(num, 1))) - level
        if missing <= _SLACK:
            return 0.0
        return self._seconds_for(missing, now_s)

    def gauge(self, now_s: float) -> Gauge:
        level, capacity = self.level(now_s), self.capacity
        missing = capacity - level
        if missing <= _SLACK or not capacity:
            return Gauge(level, capacity, 0.0)
        return Gauge(level, capacity, self._seconds_for(missing, now_s))

    def is_full(self, now_s: float) -> bool:
        """A limit of 0 counts as full: there is nothing to wait for."""
        return not self.capacity or self.capacity - self.level(now_s) <= _SLACK

    def _seconds_for(self, missing: float, now_s: float) -> float:
        if not self.capacity:
            return math.inf
        seconds = missing * REFILL_S / self.capacity
        return seconds if self._at_s <= now_s else seconds + self._at_s - now_s

    def resize(self, capacity: int, now_s: float) -> None:
        """Another limit from now on: what is left stays, as far as it still fits."""
        self._level = min(self.level(now_s), float(capacity))
        self.capacity = capacity
