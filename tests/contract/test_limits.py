"""What all limits keep to, wherever they count."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from antiphon.core.clock import Clock, ManualClock, sleep
from antiphon.core.errors import ApiError, Kind
from antiphon.limits.memory import MemoryLimits
from antiphon.limits.policy import Party, Rates
from antiphon.limits.protocol import OUTPUT_STEP, Limits, Reservation, Used

IMPLEMENTATIONS: dict[str, Callable[[Clock], Limits]] = {"memory": MemoryLimits}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=IMPLEMENTATIONS)
def limits(request: pytest.FixtureRequest, clock: ManualClock) -> Limits:
    return IMPLEMENTATIONS[request.param](clock)


def org(
    rpm: int | None = None, itpm: int | None = None, otpm: int | None = None, running: int | None = None
) -> tuple[Party, ...]:
    """A caller of whom only the organization is limited."""
    return Party("organization", "o1", Rates(rpm, itpm, otpm, running)), Party("workspace", "w1"), Party("key", "k1")


def three(organization: Rates, workspace: Rates, key: Rates) -> tuple[Party, ...]:
    return Party("organization", "o1", organization), Party("workspace", "w1", workspace), Party("key", "k1", key)


async def refused(limits: Limits, parties: Sequence[Party], num_input: int = 1, model: str = "m") -> ApiError:
    with pytest.raises(ApiError) as caught:
        await limits.reserve(parties, model, num_input)
    assert caught.value.kind is Kind.RATE_LIMIT
    return caught.value


async def made(limits: Limits, parties: Sequence[Party], used: Used, num_input: int | None = None) -> None:
    """One call, from its reservation to its end."""
    call = await limits.reserve(parties, "m", used.num_input if num_input is None else num_input)
    await call.close(used)


def told(call: Reservation) -> dict[str, str]:
    return {name.decode().removeprefix("anthropic-ratelimit-"): value.decode() for name, value in call.headers}


def left(call: Reservation) -> tuple[int, ...]:
    """Remaining requests, input tokens, output tokens."""
    headers = told(call)
    return tuple(int(headers[f"{kind}-remaining"]) for kind in ("requests", "input-tokens", "output-tokens"))


SCARCE = Rates(1, 1000, 1000, 1)
WORDS = [
    (Rates(requests_per_minute=1), "1 requests per minute"),
    (Rates(input_tokens_per_minute=30_000), "30,000 input tokens per minute"),
    (Rates(output_tokens_per_minute=1_000), "1,000 output tokens per minute"),
    (Rates(concurrent_requests=1), "1 concurrent requests"),
]


@pytest.mark.parametrize(("rates", "limit"), WORDS)
@pytest.mark.parametrize(
    ("index", "whose", "id"),
    [
        (0, "your organization's", "(org: o1, model: m)"),
        (1, "your workspace's", "(workspace: w1, model: m)"),
        (2, "this API key's", "(key: k1, model: m)"),
    ],
)
async def test_a_refusal_says_whose_limit_it_was(limits, rates: Rates, limit: str, index: int, whose: str, id: str):
    levels = [Rates(), Rates(), Rates()]
    levels[index] = rates
    parties = three(*levels)
    call = await limits.reserve(parties, "m", 30_000)
    call.settle_output(1_000)
    error = await refused(limits, parties)
    assert error.message == (
        f"This request would exceed {whose} rate limit of {limit} {id}. "
        "For details, see the rate limit headers of this reply."
    )


@pytest.mark.parametrize(
    ("rates", "unit"),
    [
        (SCARCE, "concurrent requests"),
        (SCARCE._replace(concurrent_requests=None), "requests per minute"),
        (SCARCE._replace(concurrent_requests=None, requests_per_minute=None), "input tokens per minute"),
        (Rates(output_tokens_per_minute=1000), "output tokens per minute"),
    ],
)
async def test_of_several_limits_the_first_in_order_is_named(limits, rates: Rates, unit: str):
    parties = three(Rates(output_tokens_per_minute=1000), rates, rates)
    call = await limits.reserve(parties, "m", 1000)
    call.settle_output(1000)
    error = await refused(limits, parties)
    whose = "your organization's" if unit.startswith("output") else "your workspace's"
    assert unit in error.message
    assert whose in error.message


async def test_what_is_not_limited_always_passes(limits):
    parties = three(Rates(), Rates(), Rates())
    calls = [await limits.reserve(parties, "m", 10**9) for _ in range(100)]
    assert [list(call.headers) for call in calls] == [[]] * 100
    assert list((await limits.reserve((), "m", 1)).headers) == []


async def test_a_limit_of_zero_lets_nothing_pass_and_promises_nothing(limits, clock):
    for parties in (org(rpm=0), org(itpm=0), org(otpm=0), org(running=0)):
        assert "retry-after" not in (await refused(limits, parties)).headers
        clock.advance(3600)
        await refused(limits, parties)


async def test_a_class_of_models_can_have_limits_of_its_own(limits):
    own = Party("organization", "o1", Rates(requests_per_minute=1), {"large": Rates(requests_per_minute=2)})
    for model, num_allowed in (("small", 1), ("other", 1), ("large", 2)):
        for _ in range(num_allowed):
            await limits.reserve((own,), model, 1)
        await refused(limits, (own,), model=model)


async def test_parties_of_one_name_but_another_kind_are_not_mixed_up(limits):
    rates = Rates(requests_per_minute=1)
    parties = (Party("workspace", "same", rates), Party("key", "same", rates))
    await limits.reserve(parties, "m", 1)
    assert (await refused(limits, parties)).headers["retry-after"] == "60"


async def test_a_refused_call_takes_nothing_at_any_level(limits, clock):
    parties = three(Rates(5, 5000, 5000), Rates(5, 5000, 5000), Rates(requests_per_minute=1))
    before = await limits.reserve(parties, "m", 1000)
    standing = told(before)
    for _ in range(10):
        await refused(limits, parties, 1000)
    assert told(before) == standing
    assert standing["input-tokens-remaining"] == "4000"


async def test_retry_after_is_when_this_very_call_passes(limits, clock):
    parties = three(Rates(60, 6000), Rates(60, 6000), Rates(30, 60_000))
    call = await limits.reserve(parties, "m", 5000)
    await call.close(Used(5000, 10))
    for num_input, wait_s in ((1100, 1), (3000, 20), (6000, 50), (90_000, 50)):
        assert (await refused(limits, parties, num_input)).headers["retry-after"] == str(wait_s)
    clock.advance(19.9)
    assert (await refused(limits, parties, 3000)).headers["retry-after"] == "1"
    clock.advance(0.1)
    await limits.reserve(parties, "m", 3000)


async def test_retry_after_covers_the_limits_that_are_not_named(limits, clock):
    parties = three(Rates(60, 6000, 6000), Rates(requests_per_minute=60), Rates(60, 6000))
    calls = [await limits.reserve(parties, "m", 100) for _ in range(60)]
    calls[0].settle_output(6600)
    error = await refused(limits, parties, 1)
    assert "requests per minute" in error.message
    assert error.headers["retry-after"] == "7"
    clock.advance(6)
    await refused(limits, parties, 1)
    clock.advance(1)
    await limits.reserve(parties, "m", 1)


async def test_too_many_at_once_may_come_back_in_a_second(limits, clock):
    parties = org(running=2)
    calls = [await limits.reserve(parties, "m", 1) for _ in range(2)]
    assert (await refused(limits, parties)).headers["retry-after"] == "1"
    clock.advance(3600)
    await refused(limits, parties)
    await calls[0].close(Used(1, 1))
    await limits.reserve(parties, "m", 1)
    await refused(limits, parties)


async def test_no_wait_is_told_as_shorter_than_a_second(limits):
    parties = org(itpm=60_000_000)
    await limits.reserve(parties, "m", 60_000_000)
    assert (await refused(limits, parties)).headers["retry-after"] == "1"


async def test_more_than_a_minutes_worth_passes_an_untouched_limit_and_overdraws_it(limits, clock):
    parties = org(itpm=1000)
    call = await limits.reserve(parties, "m", 3000)
    await call.close(Used(3000, 1))
    assert (await refused(limits, parties, 1)).headers["retry-after"] == "121"
    clock.advance(121)
    await limits.reserve(parties, "m", 1)
    assert (await refused(limits, parties, 3000)).headers["retry-after"] == "60"


async def test_a_call_that_came_to_nothing_gives_back_everything(limits):
    parties = org(2, 2000, 2000, 1)
    for _ in range(10):
        call = await limits.reserve(parties, "m", 2000)
        await call.close(None)
    last = await limits.reserve(parties, "m", 1000)
    assert left(last) == (1, 1000, 2000)


async def test_a_call_that_failed_after_its_first_token_gives_back_nothing_that_it_used(limits):
    parties = org(2, 5000, 5000)
    call = await limits.reserve(parties, "m", 2000)
    call.settle_output(1000)
    call.settle_output(1001)
    await call.close(None)
    after = await limits.reserve(parties, "m", 0)
    assert left(after) == (0, 3000, 4000)


async def test_the_true_input_replaces_the_estimate(limits):
    for used, remaining in ((0, "9000"), (4000, "5000"), (9000, "0"), (20_000, "0")):
        party = Party("organization", f"o{used}", Rates(input_tokens_per_minute=9000))
        call = await limits.reserve((party,), "m", 4000)
        assert told(call)["input-tokens-remaining"] == "5000"
        await call.close(Used(used, 1))
        assert told(call)["input-tokens-remaining"] == remaining


async def test_output_is_charged_while_it_is_written(limits):
    parties = org(otpm=OUTPUT_STEP * 2)
    call = await limits.reserve(parties, "m", 1)
    for num_output in range(OUTPUT_STEP * 2):
        call.settle_output(num_output)
    await limits.reserve(parties, "m", 1)
    call.settle_output(OUTPUT_STEP * 2)
    assert "output tokens" in (await refused(limits, parties)).message


async def test_the_last_tokens_are_charged_at_the_end(limits):
    parties = org(otpm=100)
    await made(limits, parties, Used(1, 99))
    await made(limits, parties, Used(1, 1))
    assert (await refused(limits, parties)).headers["retry-after"] == "1"


async def test_output_that_overdrew_is_waited_for(limits):
    parties = org(otpm=60)
    await made(limits, parties, Used(1, 150))
    assert (await refused(limits, parties)).headers["retry-after"] == "91"


@pytest.mark.parametrize("first", [None, Used(10, 10)])
@pytest.mark.parametrize("second", [None, Used(5, 5), Used(0, 0)])
async def test_only_the_first_close_counts(limits, first: Used | None, second: Used | None):
    parties = org(5, 5000, 5000, 2)
    other = await limits.reserve(parties, "m", 1000)
    call = await limits.reserve(parties, "m", 1000)
    await call.close(first)
    standing = told(other)
    await call.close(second)
    call.settle_output(5000)
    assert told(other) == standing
    await limits.reserve(parties, "m", 1000)
    await refused(limits, parties)


async def test_a_cancelled_call_no_longer_runs(limits):
    parties = org(rpm=10, running=1)

    async def ask() -> None:
        call = await limits.reserve(parties, "m", 1)
        try:
            await asyncio.Event().wait()
        finally:
            await call.close(None)

    for _ in range(20):
        task = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        await refused(limits, parties)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert told(await limits.reserve(parties, "m", 1))["requests-remaining"] == "9"


async def test_a_limit_that_is_lowered_holds_at_once(limits, clock):
    await limits.reserve(org(rpm=100), "m", 1)
    for _ in range(10):
        await limits.reserve(org(rpm=10), "m", 1)
    assert (await refused(limits, org(rpm=10))).headers["retry-after"] == "6"


async def test_a_limit_that_is_raised_refills_faster(limits, clock):
    for _ in range(10):
        await limits.reserve(org(rpm=10), "m", 1)
    assert (await refused(limits, org(rpm=600))).headers["retry-after"] == "1"
    clock.advance(1)
    for _ in range(10):
        await limits.reserve(org(rpm=600), "m", 1)
    await refused(limits, org(rpm=600))


async def test_a_limit_set_while_a_call_runs_gets_nothing_that_it_did_not_give(limits):
    call = await limits.reserve(org(rpm=100), "m", 5000)
    for _ in range(3):
        await limits.reserve(org(rpm=100, itpm=9000), "m", 3000)
    await call.close(None)
    assert "input tokens" in (await refused(limits, org(rpm=100, itpm=9000))).message


async def test_counting_tokens_has_its_own_requests_per_minute(limits, clock):
    parties = org(2, 100, 100, 1)
    await limits.reserve(parties, "m", 100)
    for remaining in ("1", "0"):
        headers = dict(await limits.count(parties, "m"))
        assert headers.keys() == {
            b"anthropic-ratelimit-requests-" + name for name in (b"limit", b"remaining", b"reset")
        }
        assert headers[b"anthropic-ratelimit-requests-remaining"] == remaining.encode()
    with pytest.raises(ApiError) as caught:
        await limits.count(parties, "m")
    assert "your organization's rate limit of 2 requests per minute" in caught.value.message
    assert caught.value.headers["retry-after"] == "30"
    assert caught.value.headers["anthropic-ratelimit-requests-remaining"] == "0"
    clock.advance(30)
    await limits.count(parties, "m")


async def test_a_reply_and_a_refusal_tell_the_same_twelve_headers(limits, clock):
    parties = three(Rates(10, 50_000, 8_000), Rates(2, 90_000, 9_000), Rates(4, 20_000))
    call = await limits.reserve(parties, "m", 12_400)
    call.settle_output(1_000)
    expected = {
        "requests": ("2", "1", "2027-01-15T08:00:30Z"),
        "tokens": ("8000", "7000", "2027-01-15T08:00:08Z"),
        "input-tokens": ("20000", "8000", "2027-01-15T08:00:38Z"),
        "output-tokens": ("8000", "7000", "2027-01-15T08:00:08Z"),
    }
    assert told(call) == {
        f"{kind}-{what}": value
        for kind, values in expected.items()
        for what, value in zip(("limit", "remaining", "reset"), values, strict=True)
    }
    error = await refused(limits, parties, 10_000)
    assert {name.removeprefix("anthropic-ratelimit-"): value for name, value in error.headers.items()} == told(call) | {
        "retry-after": "8"
    }


async def test_a_clock_that_steps_back_refills_nothing_twice_and_soon_goes_on(limits, clock):
    parties = org(rpm=60)
    clock.advance(100)
    for _ in range(60):
        await limits.reserve(parties, "m", 1)
    clock.advance(-10)
    assert (await refused(limits, parties)).headers["retry-after"] == "11"
    clock.advance(10)
    await refused(limits, parties)
    clock.advance(-3600)
    assert (await refused(limits, parties)).headers["retry-after"] == "1"
    clock.advance(1)
    await limits.reserve(parties, "m", 1)
    await refused(limits, parties)


async def test_no_call_of_32_clients_over_their_limit_is_lost_or_served_twice(limits, clock):
    rates = Rates(20, 12_000, 6_000, 4)
    crowd = Crowd(limits, clock, three(rates, Rates(), rates))
    clients = [asyncio.ensure_future(crowd.client(number)) for number in range(32)]
    while not all(client.done() for client in clients):
        for _ in range(8):
            await asyncio.sleep(0)
        clock.advance(0.5)
        assert clock.monotonic() < 1800, "clients starve"
    await asyncio.gather(*clients)
    assert sorted(crowd.served) == [(client, number) for client in range(32) for number in range(3)]
    assert crowd.num_refused > 0
    assert crowd.max_running == 4
    assert crowd.num_running == 0
    # A full burst and a minute of refill, and what the calls of a minute were estimated too low or gave back late.
    assert crowd.most_in_a_minute(0) <= 2 * 20
    assert crowd.most_in_a_minute(1) <= 2 * 12_000 + 40 * 300
    assert crowd.most_in_a_minute(2) <= 2 * 6_000 + 4 * 700


class Crowd:
    """Clients that wait as they are told, and what they were served."""

    def __init__(self, limits: Limits, clock: ManualClock, parties: Sequence[Party]) -> None:
        self.limits, self.clock, self.parties = limits, clock, parties
        self.served: list[tuple[int, int]] = []
        self.passed: list[tuple[float, tuple[int, int, int]]] = []
        self.num_refused = self.num_running = self.max_running = 0

    async def client(self, client: int) -> None:
        for number in range(3):
            call = await self._admitted()
            await self._serve(call, client, number)

    async def _admitted(self) -> Reservation:
        while True:
            try:
                return await self.limits.reserve(self.parties, "m", 600)
            except ApiError as error:
                self.num_refused += 1
                await sleep(self.clock, int(error.headers["retry-after"]))

    async def _serve(self, call: Reservation, client: int, number: int) -> None:
        self.num_running += 1
        self.max_running = max(self.max_running, self.num_running)
        used = Used(300 + client * 600 // 31, 100 * (1 + client % 7))
        self.passed.append((self.clock.monotonic(), (1, used.num_input, used.num_output)))
        for num_output in range(0, used.num_output, 50):
            call.settle_output(num_output)
            await sleep(self.clock, 0.5)
        self.num_running -= 1
        await call.close(used)
        self.served.append((client, number))

    def most_in_a_minute(self, kind: int) -> int:
        return max(
            sum(num[kind] for at_s, num in self.passed if start_s <= at_s <= start_s + 60) for start_s, _ in self.passed
        )
