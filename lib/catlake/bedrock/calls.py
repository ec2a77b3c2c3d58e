"""Replays a conversation's message map: each call to the model, and the tokens that Bedrock bills for it.

Each call sends the whole history again, so billed input is many times the sum of the texts. Every assistant node is at
least one call; every round of tools before its answer is one more, and so is each time that an answer was continued.
docs/token-costs.md explains what a call sends and what cannot be known about it, with the errors measured against
genuine calls.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from catlake.bedrock.application_models import PRICED_WRONG, Traits, traits
from catlake.bedrock.length4_tokens import OUTPUT_ROLES, chunk_texts, tokens
from catlake.bedrock.message_map import Node, role_of
from catlake.bedrock.message_parts import MessageParts, Part, log_parts
from catlake.bedrock.prompt_cache import CachePoint, PromptCache

# Sent with every call, on whichever branch.
_PROLOGUE_ROLES = frozenset({"system", "instruction"})

# Texts that no map holds, in characters. Source: the application's own prompts and tools (version 3 of June 2026), as
# its genuine calls sent them.
TOOL_SPECIFICATIONS: Mapping[str, int] = {"internet_search": 1_140, "knowledge_base_tool": 813}
"""What each call sends for each tool that it may use; of other tools the sizes are not known."""
CITING_PROMPT, CITING_PROMPT_FOR_NOVA = 1_215, 991
"""The prompt that makes a bot with tools cite its sources."""
KNOWLEDGE_PROMPT, AROUND_CHUNK = 1_518, 75
"""The prompt for retrieved chunks, where the model has no tools, and what is around each chunk."""

MOST_CONTINUED = 20
"""Calls of one answer. What would need more was written before the bot's limit was set."""

CACHING_SINCE = datetime(2025, 4, 7, tzinfo=UTC)
"""When prompt caching became generally available on Bedrock."""

_CACHING_SINCE_MS = CACHING_SINCE.timestamp() * 1000
_LAST_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000


class Bot(NamedTuple):
    """What a bot's settings say about its calls; the defaults are the application's."""

    caches_prompts: bool = True
    max_tokens: int | None = None
    tools: frozenset[str] = frozenset()
    shows_sources: bool = True


class Call(NamedTuple):
    """A call to the model, at a time in milliseconds since 1970.

    Its whole input is `input + cache_read + cache_write`. `images`, `documents` and `overhead` are the parts of that
    which are not texts of the map, `reasoning` is a part of `output`.
    """

    milliseconds: float
    model: str
    answer: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    images: int = 0
    documents: int = 0
    overhead: int = 0
    reasoning: int = 0

    @property
    def time(self) -> datetime:
        """When it was made (UTC)."""
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)

    @property
    def counts(self) -> tuple[int, ...]:
        """Its tokens, in the order of the fields."""
        return self[3:]


class Replay(NamedTuple):
    """A conversation's calls, in the order of time, and in words what the map cannot show about them."""

    calls: list[Call]
    reasons: list[str]


class _Sent(NamedTuple):
    """Tokens of what a call sends, by their kind."""

    text: int = 0
    image: int = 0
    document: int = 0
    thinking: int = 0
    unsigned: int = 0

    def plus(self, parts: Iterable[Part]) -> "_Sent":
        text, image, document, thinking, unsigned = self
        for part in parts:
            match part.kind:
                case "text":
                    text += part.tokens
                case "image":
                    image += part.tokens
                case "document":
                    document += part.tokens
                case "thinking":
                    thinking += part.tokens
                case "unsigned":
                    unsigned += part.tokens
        return _Sent(text, image, document, thinking, unsigned)


_NOTHING = _Sent()
_REASONING = ("thinking", "unsigned")
_Parents = Mapping[str, str | None]


class _OfModel(NamedTuple):
    """What is the same for all calls of a conversation to one model.

    Attributes:
        of: Its traits.
        overhead: Tokens of the prompts that no map holds.
        tool_tokens: The part of them that the tools are.
        system: The overhead and the prologue.
    """

    of: Traits
    overhead: int
    tool_tokens: int
    system: int


class _Round(NamedTuple):
    """What the model wrote at one go, after it received the parts before it."""

    received: _Sent
    output: int
    reasoning: int


def replay(nodes: Mapping[str, Node], began: datetime, bot: Bot | None = None) -> Replay:
    """The calls that a conversation made.

    All branches count, because an answer that was edited away was billed too. A node without a model counts under the
    empty name.

    Args:
        nodes: The conversation's message map.
        began: The time of nodes that have none of their own.
        bot: The settings of its bot, if they are known.

    Raises:
        RecursionError: The map is nested too deeply.
    """
    return _Replay(nodes, began, bot or Bot()).run()


class _Replay:
    """One conversation, while it is replayed."""

    def __init__(self, nodes: Mapping[str, Node], began: datetime, bot: Bot) -> None:
        self._nodes = nodes
        self._roles = {key: role_of(node) for key, node in nodes.items()}
        self._parents = {key: _parent(node) for key, node in nodes.items()}
        self._began = began.timestamp() * 1000
        self._bot = bot
        self._split = MessageParts()
        self._messages = {key: self._split.of(node, self._roles[key]) for key, node in nodes.items()}
        self._tools = self._split.tools | bot.tools
        self._prologue = _NOTHING
        for key, role in self._roles.items():
            if role in _PROLOGUE_ROLES:
                self._prologue = self._prologue.plus(self._messages[key])
                self._messages[key] = []  # no chain sends it a second time
        self._histories = _histories(self._parents, self._messages)
        self._of_models: dict[str, _OfModel] = {}
        self._cache = PromptCache()
        self._continued = False

    def run(self) -> Replay:
        calls = [call for time, end, key in sorted(self._answers()) for call in self._calls(time, end, key)]
        models = {call.model for call in calls}
        unknown = {
            "application_price_differs": not models.isdisjoint(PRICED_WRONG),
            "continued_answers": self._continued,
            "estimated_files": self._split.estimated > 0,
            "hidden_reasoning": any(traits(model).hides_reasoning for model in models),
            "shortened_reasoning": any(call.reasoning and traits(call.model).shortens_reasoning for call in calls),
            "unknown_tools": not self._tools <= TOOL_SPECIFICATIONS.keys(),
        }
        return Replay(calls, [reason for reason, holds in unknown.items() if holds])

    def _answers(self) -> Iterator[tuple[float, float, str]]:
        """When each answer was asked for and when it was there, and its key.

        Only the first answer to a question was asked for when the question was; another was made anew, later.
        """
        first: dict[str | None, float] = {}
        times = {key: self._time(self._nodes[key]) for key, role in self._roles.items() if role in OUTPUT_ROLES}
        for key, end in times.items():
            question = self._parents[key]
            first[question] = min(first.get(question, end), end)
        for key, end in times.items():
            question = self._parents[key]
            asked = self._time(self._nodes[question]) if question is not None and question in self._nodes else end
            yield min(asked, end) if end == first[question] else end, end, key

    def _calls(self, start: float, end: float, key: str) -> Iterator[Call]:
        node = self._nodes[key]
        model = _model(node)
        of, overhead, tool_tokens, system = self._of_models.get(model) or self._of_model(model)
        history = self._histories.get(self._parents[key], _NOTHING)
        # The instruction of this answer's calls, and of no other, contains the cited chunks of a knowledge base.
        chunks = sum(map(tokens, chunk_texts(node))) if node.get("used_chunks") else 0
        before = system + chunks + _tokens(history, of)
        # Chunks are in front of the history, so that they make each prompt another one.
        points = [] if chunks else self._points(key, of, system, tool_tokens)
        for number, round_ in enumerate(self._rounds(node, key, of)):
            time = start if number == 0 else end
            received = round_.received
            # Within a turn, thinking always goes back.
            whole = before + sum(received) - (0 if of.takes_unsigned_reasoning else received.unsigned)
            read, write = 0, 0
            if points and of.least_cached is not None and time >= _CACHING_SINCE_MS:
                read, write = self._cache.use(model, of.least_cached, points, time)
            yield Call(
                time,
                model,
                key,
                whole - read - write,
                read,
                write,
                round_.output,
                self._prologue.image + history.image + received.image,
                self._prologue.document + history.document + received.document,
                overhead,
                round_.reasoning,
            )

    def _rounds(self, node: Node, key: str, of: Traits) -> Iterator[_Round]:
        """The answer's rounds; one that is longer than a call may write was continued by further calls."""
        longest = self._bot.max_tokens or of.max_tokens
        for round_ in _rounds(log_parts(node) + self._messages[key]):
            count = math.ceil(round_.output / longest)
            if not 1 < count <= MOST_CONTINUED:
                yield round_
                continue
            self._continued = True
            for number in range(count):
                # The next call sends what the calls before it wrote.
                done = number * longest
                yield _Round(
                    round_.received._replace(text=round_.received.text + done),
                    min(round_.output - done, longest),
                    round_.reasoning if number == 0 else 0,
                )

    def _of_model(self, model: str) -> "_OfModel":
        of = traits(model)
        overhead, tool_tokens = self._overhead(model, of)
        fixed = _OfModel(of, overhead, tool_tokens, overhead + _tokens(self._prologue, of))
        self._of_models[model] = fixed
        return fixed

    def _overhead(self, model: str, of: Traits) -> tuple[int, int]:
        """Tokens of the prompts that no map holds, and the part of them that the tools are."""
        if not (self._tools and of.uses_tools):
            return 0, 0
        specifications = sum(TOOL_SPECIFICATIONS.get(tool, 0) for tool in self._tools) // 4
        citing = CITING_PROMPT_FOR_NOVA if model.startswith("amazon-nova") else CITING_PROMPT
        return specifications + (citing // 4 if self._bot.shows_sources else 0), specifications

    def _points(self, key: str, of: Traits, system: int, tool_tokens: int) -> list[CachePoint]:
        """The cache points of an answer's calls: behind the tools, the system prompt, the last two user messages."""
        if of.least_cached is None or not self._bot.caches_prompts:
            return []
        points = []
        if of.caches_tools or not self._tools:
            if self._tools:
                points.append(CachePoint("tools", tool_tokens))
            if system > tool_tokens:
                points.append(CachePoint("system", system))
        received = itertools.islice(self._received(self._parents[key]), 2)
        points += [CachePoint(name, system + _tokens(sent, of)) for name, sent in reversed(list(received))]
        return points

    def _received(self, key: str | None) -> Iterator[tuple[str, _Sent]]:
        """The user messages of a chain, the newest first: each with all that is sent up to its end.

        The results of tools are such messages, also where an answer's node holds them.
        """
        for passed in _chain(self._parents, key):
            if self._roles[passed] == "user":
                yield f"message {passed}", self._histories[passed]
            elif results := [number for number, part in enumerate(self._messages[passed]) if not part.written]:
                before = self._histories.get(self._parents[passed], _NOTHING)
                yield f"results {passed}", before.plus(self._messages[passed][: results[-1] + 1])

    def _time(self, node: Node) -> float:
        """A node's time in milliseconds; the conversation's where it has none that can be one."""
        time: Any = node.get("create_time")
        known = isinstance(time, int | float) and not isinstance(time, bool) and 0 < time < _LAST_TIME
        return float(time) if known else self._began


def _rounds(answer: list[Part]) -> list[_Round]:
    """The rounds of one answer: what the model writes after it received something is a round of its own."""
    if len(answer) == 1 and answer[0].written:  # most answers are one text
        return [_Round(_NOTHING, answer[0].tokens, answer[0].tokens if answer[0].kind in _REASONING else 0)]
    rounds: list[_Round] = []
    sent, waiting = _NOTHING, True
    for part in answer:
        if part.written:
            if waiting:
                rounds.append(_Round(sent, 0, 0))
            received, output, reasoning = rounds[-1]
            thought = part.tokens if part.kind in _REASONING else 0
            rounds[-1] = _Round(received, output + part.tokens, reasoning + thought)
        waiting = not part.written
        sent = sent.plus([part])
    if waiting:  # the answer itself is empty or was never stored
        rounds.append(_Round(sent, 0, 0))
    return rounds


def _tokens(sent: _Sent, of: Traits) -> int:
    """What a model is billed for what is sent to it."""
    return (
        sent.text
        + sent.image
        + sent.document
        + (sent.thinking if of.keeps_thinking else 0)
        + (sent.unsigned if of.takes_unsigned_reasoning else 0)
    )


def _histories(parents: _Parents, messages: Mapping[str, list[Part]]) -> dict[str | None, _Sent]:
    """What each node's chain of parents sends, the node itself included; each chain is walked once.

    A chain ends at a parent that is unknown or already passed.
    """
    histories: dict[str | None, _Sent] = {}
    for first, parent in parents.items():
        if parent in histories and first not in histories:  # a parent usually stands before its children
            histories[first] = histories[parent].plus(messages[first])
            continue
        chain = list(itertools.takewhile(lambda key: key not in histories, _chain(parents, first)))
        sent = histories.get(parents[chain[-1]], _NOTHING) if chain else _NOTHING
        for passed in reversed(chain):
            histories[passed] = sent = sent.plus(messages[passed])
    return histories


def _chain(parents: _Parents, key: str | None) -> Iterator[str]:
    """A node's key and those of its parents, up to one that is unknown or already passed."""
    passed: set[str] = set()
    while key is not None and key in parents and key not in passed:
        yield key
        passed.add(key)
        key = parents[key]


def _parent(node: Node) -> str | None:
    parent = node.get("parent")
    return parent if isinstance(parent, str) else None


def _model(node: Node) -> str:
    model = node.get("model")
    return model if isinstance(model, str) else ""
