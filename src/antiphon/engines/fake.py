"""The scripted engine of `--fake`: deterministic, fast, and a prompt cache like a real engine's.

It counts by a rule of its own: each word is a token, and each turn costs one more for its role. A picture costs what it
costs the API's models.
"""

import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from itertools import cycle, islice, takewhile, zip_longest

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import internal, overloaded
from antiphon.engines.protocol import EngineModel
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.citations import Sources
from antiphon.turn.formats.written import HERMES
from antiphon.turn.kinds import ALL_THINKING, NO_THINKING, Kinds
from antiphon.turn.marks import label
from antiphon.turn.pieces import Piece, Progress, Prompt, Stop, Wish
from antiphon.turn.pixels import num_tokens
from antiphon.turn.schema.sample import sample_of
from antiphon.turn.tools.offer import OfferedTool

NUM_SLOTS = 32
WINDOW = 200_000
SLOW_PACE_S = 0.02
_MAX_BURST = 64
_NAMES = ("echo", "lorem", "slow", "down", "tool-caller", "thinker", "adaptive", "json", "citer")
_THINKING: Mapping[str, Kinds] = {
    **dict.fromkeys(("echo", "tool-caller", "thinker", "json"), ALL_THINKING),
    "adaptive": frozenset({"adaptive"}),
}
_LOREM = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua"
).split()


def words(text: str) -> list[str]:
    """`text` cut into tokens: words with the white space that follows them; joined they are `text` again."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def lorem() -> Iterator[str]:
    """The script of `lorem`, without end."""
    return (word + " " for word in cycle(_LOREM))


class FakeEngine:
    """Scripts by model name: see README, "Testing your app". A call or a document that is demanded is written."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cache: deque[tuple[str, ...]] = deque(maxlen=NUM_SLOTS)
        self._salts: deque[str] = deque(maxlen=NUM_SLOTS)

    async def models(self) -> tuple[EngineModel, ...]:
        models = [_model(name, _THINKING.get(name, NO_THINKING), sees=name == "echo") for name in _NAMES]
        return (*models[:3], _fail(), *models[3:])

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        if model == "down":
            raise overloaded()
        tokens = _tokens(chat)
        return Prompt((tuple(tokens), chat), len(tokens), is_exact=True, tokens=tokens)

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        tokens, chat = prompt.payload
        num_cached = self._reuse(tokens, wish.salt)
        yield [Piece(progress=Progress(len(tokens), len(tokens), num_cached))]
        pace_s = SLOW_PACE_S if model == "slow" else 0.0
        script, fails_after = _script(model, chat, wish)
        num_output = min(len(words(wish.opening)), wish.max_tokens) if wish.is_opening_counted else 0
        async with aclosing(self._paced(islice(script, wish.max_tokens - num_output), pace_s)) as bursts:
            async for burst in bursts:
                if fails_after is not None and num_output + len(burst) > fails_after:
                    yield _pieces(burst[: fails_after - num_output], num_output) or [Piece()]
                    raise internal()
                yield _pieces(burst, num_output)
                num_output += len(burst)
        ended = next(script, None) is None
        yield [Piece("", num_output, stop=Stop("end" if ended else "length", len(tokens), num_cached))]

    async def aclose(self) -> None:
        pass

    async def _paced(self, script: Iterator[str], pace_s: float) -> AsyncGenerator[list[str], None]:
        """Bursts of 1, 2, 4 … words; one by one where there is a pace."""
        size = 1
        while burst := list(islice(script, size)):
            if pace_s:
                await sleep(self._clock, pace_s)
            else:
                size = min(2 * size, _MAX_BURST)
            yield burst

    def _reuse(self, tokens: tuple[str, ...], salt: str) -> int:
        """How many leading tokens some earlier prompt of `salt` shares; and remember this one, within a window."""
        known = zip(self._cache, self._salts, strict=True)
        best = max((_common(tokens, old) for old, its in known if its == salt), default=0)
        self._cache.append(tokens)
        self._salts.append(salt)
        while len(self._cache) > 1 and sum(map(len, self._cache)) > WINDOW:
            self._cache.popleft()
            self._salts.popleft()
        return best


def _model(name: str, thinking: Kinds, *, sees: bool) -> EngineModel:
    return EngineModel(
        name,
        WINDOW,
        counts_exactly=True,
        num_slots=NUM_SLOTS,
        thinking=thinking,
        sees=sees,
        keeps_to_grammars=True,
    )


def _fail() -> EngineModel:
    return EngineModel("fail-N", WINDOW, counts_exactly=True, num_slots=NUM_SLOTS, also=re.compile(r"fail-\d{1,9}"))


def _tokens(chat: Chat) -> list[str]:
    tokens: list[str] = []
    for tool in chat.tools:
        tokens += ["<tool>", *words(json.dumps(tool.definition))]
    for turn in chat.turns:
        tokens += [f"<{turn.role}>", *_told(turn, chat.mark)]
        for call in turn.calls:
            tokens += ["<call>", call.name, *words(call.arguments)]
    return [*tokens, "<assistant>", *words(chat.prefill)]


def _told(turn: ChatTurn, mark: str) -> Iterator[str]:
    """The words of a turn; a picture's tokens stand where its mark does."""
    if not turn.pictures:
        yield from words(turn.text)
        return
    for text, picture in zip_longest(turn.text.split(mark), turn.pictures):
        yield from words(text)
        if picture:
            yield from _seen(picture.digest, num_tokens(picture.width, picture.height))


@lru_cache(maxsize=32)
def _seen(digest: str, num: int) -> tuple[str, ...]:
    """A picture's tokens. The same ones each time: they are compared with those of all prompts that are kept."""
    return tuple(f"<{digest} {i}>" for i in range(num))


def _script(model: str, chat: Chat, wish: Wish) -> tuple[Iterator[str], int | None]:
    """(the words that it would say, after how many it fails)."""
    if model.startswith("fail-"):
        return lorem(), int(model[5:]) if model[5:].isdigit() else 0
    text = _text(model, chat, wish)
    if text is None:
        return lorem(), None
    return iter(words(text.removeprefix(wish.opening))), None


def _text(model: str, chat: Chat, wish: Wish) -> str | None:
    """All that it says, with what it was made to begin with; None for words without end."""
    if wish.forced:
        allowed = [tool for tool in chat.callable if wish.forced.name in (None, tool.name)]
        return _asked_calls(chat, allowed) or _call(allowed[0])
    if wish.grammar and wish.grammar.schema is not None:
        return wish.opening + json.dumps(sample_of(wish.grammar.schema))
    if model in ("lorem", "slow"):
        return None
    if model == "tool-caller" and chat.callable:
        result = _results(chat)
        found = _just_found(chat)
        if found:
            return _call(found)
        return (_asked_calls(chat, chat.callable) or _call(chat.callable[0])) if result is None else result
    said = _last_user_text(chat) or "ok"
    if model == "json":
        return json.dumps({"text": said})
    if model == "citer" and chat.sources.sources:
        return _cited(chat.sources)
    thinks = model == "adaptive" or (model == "thinker" and chat.thinks)
    return f"<think>\nThe user says: {said}\n</think>\n\n{said}" if thinks else said


def _call(tool: OfferedTool) -> str:
    return HERMES.call(tool.name, json.dumps(sample_of(tool.schema)))


def _cited(sources: Sources) -> str:
    """The first sentence of each source, with its mark."""
    firsts = [source.first for source in sources.sources if source.chunks]
    return " ".join(f"{sources.cite(first, first)[0]['cited_text']} {label(first)}" for first in firsts) or "ok"


def _asked_calls(chat: Chat, allowed: Sequence[OfferedTool]) -> str:
    """The calls that the last user text spells out, as in `Read {"path": "a.txt"}`; "" for none."""
    text = _last_user_text(chat)
    names = "|".join(re.escape(tool.name) for tool in allowed)
    calls: list[str] = []
    for match in re.finditer(rf"\b({names})\s*(?=\{{)", text):
        with suppress(ValueError):
            arguments, _ = json.JSONDecoder().raw_decode(text, match.end())
            calls.append(HERMES.call(match[1], json.dumps(arguments)))
    return "\n".join(calls)


def _results(chat: Chat) -> str | None:
    """The results that stand at the end of the chat, if they do."""
    texts = [turn.text for turn in takewhile(lambda turn: turn.role == "tool", reversed(chat.turns))]
    return "\n".join(reversed(texts)) or "ok" if texts else None


def _just_found(chat: Chat) -> OfferedTool | None:
    """The tool that a search has found, if its result is the last that was said."""
    last = chat.turns[-1].answers
    if last is None or not last.name.startswith("tool_search_tool_"):
        return None
    return next((tool for tool in chat.callable if tool not in chat.tools), None)


def _pieces(burst: list[str], num_before: int) -> list[Piece]:
    return [Piece(word, num) for num, word in enumerate(burst, num_before + 1)]


def _last_user_text(chat: Chat) -> str:
    turn = next((turn for turn in reversed(chat.turns) if turn.role == "user"), None)
    if turn is None or not turn.pictures:
        return turn.text if turn else ""
    return "\n\n".join(filter(None, map(str.strip, turn.text.split(chat.mark))))


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    if a[: len(b)] == b:
        return len(b)
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
