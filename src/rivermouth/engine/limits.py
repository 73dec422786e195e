"""Who may ask now: requests counted in moving windows, per credential or address, and in quotas of a day and a month.

Windows come from `settings.limits` in the notation of the library `limits`, whose strategy is used: over `Windows` here for
one process, over its Redis storage (`stores/redis_limits`) for several. Quotas are rows.
"""

import math
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal

import msgspec
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter

from rivermouth.clock import Clock
from rivermouth.engine.auth import Principal
from rivermouth.errors import TooMany
from rivermouth.settings import LimitSettings
from rivermouth.stores import Rows

Route = Literal["chat", "stream", "login", "register"]
UNLIMITED = "unlimited"
# Source: the contract of ares, "Errors".
QUOTA_WORDS = {"day": "Daily rate limit exceeded", "month": "Monthly request quota exceeded"}


class Rule(msgspec.Struct, frozen=True):
    """Windows that hold for one caller on one route. who: whose requests are counted together."""

    name: str
    who: str
    windows: str


class Limiter:
    """Counts and refuses. One for each process; with a shared `storage` they count together."""

    def __init__(self, settings: LimitSettings, rows: Rows, clock: Clock, storage: Storage | None = None) -> None:
        self._settings, self._rows, self._clock = settings, rows, clock
        self._windows = MovingWindowRateLimiter(storage or Windows(clock))

    async def admit(self, system: str, route: Route, who: Principal | str, cost: int = 1) -> None:
        """Count a request of `who` (for login and register, an address).

        What one window refuses is counted in none (but where requests race for the last place of a longer one, in shorter
        ones); what a quota refuses still counts as a request of its address.
        Raises: TooMany, with the time until it makes sense to ask again; Unavailable where nothing can be counted.
        """
        if not self._settings.enabled:
            return
        await self._count(_rules(self._settings, system, route, who), cost)
        await self._use_quota(system, route, who, cost)

    async def admit_again(self, system: str, who: Principal) -> None:
        """Count a request that was counted when it first came, apart from those that begin something. Raises: as `admit`."""
        if self._settings.enabled:
            caller = f"addr:{who.address}" if who.kind == "anonymous" else _holder(who)
            await self._count([Rule(f"{system}-again", caller, self._settings.again)], 1)

    async def admit_file(self, address: str) -> None:
        """Count a file that a visitor gives. Raises: as `admit`."""
        if self._settings.enabled:
            await self._count([Rule("page-files", f"addr:{address}", self._settings.page_files)], 1)

    async def _count(self, rules: list[Rule], cost: int) -> None:
        checks = [(item, rule) for rule in rules for item in _windows(rule.windows)]
        if len(checks) > 1:
            for item, rule in checks:
                if not await self._windows.test(item, rule.name, rule.who, cost=cost):
                    raise await self._refused(item, rule)
        for item, rule in checks:
            # Where others count with us, somebody may have come in between.
            if not await self._windows.hit(item, rule.name, rule.who, cost=cost):
                raise await self._refused(item, rule)

    async def _refused(self, item: RateLimitItem, rule: Rule) -> TooMany:
        reset = (await self._windows.get_window_stats(item, rule.name, rule.who)).reset_time
        wait = max(1.0, math.ceil(reset - self._clock.now()))
        return TooMany(
            f"Too many requests: {item.amount} per {_span(item)} are allowed; try again in {wait:.0f} s",
            retry_after=wait,
            limit=item.amount,
            reset=reset,
            scope=item.GRANULARITY.name,
        )

    async def _use_quota(self, system: str, route: Route, who: Principal | str, cost: int) -> None:
        if system != "ares" or route not in ("chat", "stream") or isinstance(who, str):
            return
        limits = self._settings.ares.get(who.tier)
        if limits is None or who.kind == "anonymous":
            return
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        used = await self._rows.use_quota(quota_key(who), f"{now:%Y-%m-%d}", f"{now:%Y-%m}", limits, cost)
        if used.exceeded is not None:
            ends = {"day": _next_day(now), "month": _next_month(now)}
            raise TooMany(
                QUOTA_WORDS[used.exceeded],
                retry_after=max(1.0, math.ceil(ends[used.exceeded] - now.timestamp())),
                limit=limits[1] if used.exceeded == "day" else limits[0],
                reset=ends[used.exceeded],
                scope=used.exceeded,
            )


def quota_key(principal: Principal) -> str:
    """Under which id a principal's quotas are counted: the account's, so that neither a new login nor a new key of its
    own resets them."""
    return principal.id


def _holder(principal: Principal) -> str:
    """Whose requests a window counts: a token's or key's own, else the account's."""
    opaque = principal.kind in ("token", "key") and principal.credential is not None
    return principal.credential or principal.id if opaque else principal.id


def _rules(settings: LimitSettings, system: str, route: Route, who: Principal | str) -> list[Rule]:
    address = f"addr:{who if isinstance(who, str) else who.address}"
    if route in ("login", "register"):
        return [Rule(f"{system}-{route}", address, settings.login if route == "login" else settings.register_)]
    if system == "ares":
        return [Rule("ares", address, settings.ares_address)]
    if system == "session":
        return [
            Rule(f"session-{route}", address, settings.session_stream if route == "stream" else settings.session_chat)
        ]
    if isinstance(who, str):
        return []
    # Without a credential it is the address that counts: a cookie is thrown away too easily.
    caller = address if who.kind == "anonymous" else _holder(who)
    if system == "wisqu":
        # `unlimited` is a tier of its own here, with 1000 a minute: see the contract of wisqu.
        amount = settings.wisqu.get(who.tier, settings.wisqu.get("free"))
        return [] if amount is None else [Rule("wisqu", caller, f"{amount}/minute")]
    windows = {"knowbase": settings.knowbase, "smarttalk": settings.smarttalk}.get(system)
    return [] if windows is None or who.tier == UNLIMITED else [Rule(system, caller, windows)]


class Windows(MemoryStorage):
    """Moving windows in this process, by the server's own clock.

    Rejected: the library's own memory storage, which on every request looks through every key it holds, each in a thread.
    """

    STORAGE_SCHEME = None  # type: ignore[assignment]
    SWEEP = 4096
    """Keys added between two looks for those that are over."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._times: dict[str, tuple[deque[float], int]] = {}
        self._sweep_at = self.SWEEP

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Add `amount` entries to the window, all or none."""
        times = self._window(key, expiry)
        if len(times) + amount > limit:
            return False
        times.extend([self._clock.now()] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest entry of the window was made, and how many there are."""
        times = self._window(key, expiry)
        return (times[0] if times else self._clock.now()), len(times)

    def _window(self, key: str, expiry: int) -> deque[float]:
        if key not in self._times:
            self._sweep()
            self._times[key] = (deque(), expiry)
        times = self._times[key][0]
        start = self._clock.now() - expiry
        while times and times[0] <= start:
            times.popleft()
        return times

    def _sweep(self) -> None:
        if len(self._times) < self._sweep_at:
            return
        now = self._clock.now()
        self._times = {
            key: (times, expiry) for key, (times, expiry) in self._times.items() if times and times[-1] > now - expiry
        }
        self._sweep_at = len(self._times) + self.SWEEP


@cache
def _windows(text: str) -> tuple[RateLimitItem, ...]:
    """The shortest first: a place in it that was taken in vain is soon free again."""
    return tuple(sorted(parse_many(text), key=lambda item: item.get_expiry()))


def _span(item: RateLimitItem) -> str:
    name = item.GRANULARITY.name
    return name if item.multiples == 1 else f"{item.multiples} {name}s"


def _next_day(now: datetime) -> float:
    return (now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)).timestamp()


def _next_month(now: datetime) -> float:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1).timestamp()
