"""Replays a conversation's message map: each call to the model, and the tokens that Bedrock bills for it.

Each call sends the whole history again, so billed input is many times the sum of the texts. Each assistant node is at
least one call. Each round of tools before the answer is one more call, and so is each continuation of an answer that
was too long for one. docs/token-costs.md explains what a call sends, what cannot be known about it, and how far the
result is from genuine calls.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from catlake.bedrock.application_models import PRICED_OTHERWISE, Traits, model_traits
from catlake.bedrock.length4_tokens import OUTPUT_ROLES, chunk_texts, tokens
from catlake.bedrock.message_map import Node, role_of
from catlake.bedrock.message_parts import MessageParts, Part, log_parts
from catlake.bedrock.prompt_cache import CachePoint, PromptCache

# Every call sends them, on every branch.
_PROLOGUE_ROLES = frozenset({"system", "instruction"})

# Sizes in characters of texts that are in no map. Source: the application's own prompts and tools (version 3 of June
# 2026), in its genuine calls.
TOOL_SPECIFICATIONS: Mapping[str, int] = {"internet_search": 1_140, "knowledge_base_tool": 813}
"""The specification of a tool, which each call sends that may use it. The sizes of other tools are unknown."""
CITING_PROMPT, CITING_PROMPT_FOR_NOVA = 1_215, 991
"""The prompt that asks a bot with tools to cite its sources."""
KNOWLEDGE_PROMPT, AROUND_CHUNK = 1_518, 75
"""The prompt for retrieved chunks, for a model without tools, and the text around each chunk."""

MOST_CONTINUED = 20
"""The most calls for one answer. A longer answer was written before the bot had its limit."""

CACHING_SINCE = datetime(2025, 4, 7, tzinfo=UTC)
"""When prompt caching became generally available on Bedrock."""

_CACHING_SINCE_MS = CACHING_SINCE.timestamp() * 1000
_LAST_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000


DEFAULT_BUDGET = 1_024
"""Tokens of thinking that the application allows a call, unless the bot sets another limit."""

TOKENS_BESIDE_BUDGET = 1_024
"""What the application adds to the budget for a call whose limit would leave no room beside it."""


class Bot(NamedTuple):
    """The settings of a bot that change its calls; the defaults are assumed of a bot that is not known."""

    caches_prompts: bool = True
    max_tokens: int | None = None
    tools: frozenset[str] = frozenset()
    shows_sources: bool = True
    thinking_budget: int = DEFAULT_BUDGET


class Call(NamedTuple):
    """A call to the model, at a time in milliseconds since 1970.

    Its whole input is `input + cache_read + cache_write`. `images`, `documents` and `overhead` are parts of the
    input that are no texts of the map; `reasoning` is a part of `output`.
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
    """A conversation's calls in the order of time, and the reasons why the estimate may be off."""

    calls: list[Call]
    reasons: list[str]


class _Sent(NamedTuple):
    """The tokens that a call sends, by kind."""

    text: int = 0
    image: int = 0
    document: int = 0
    thinking: int = 0
    unsigned: int = 0

    def plus(self, parts: Iterable[Part]) -> "_Sent":
        sums = list(self)
        for part in parts:
            sums[_PLACES[part.kind]] += part.tokens
        return _Sent(*sums)


_PLACES = {kind: place for place, kind in enumerate(_Sent._fields)}
_NOTHING = _Sent()
_REASONING = ("thinking", "unsigned")
_Parents = Mapping[str, str | None]


class _Model(NamedTuple):
    """What all calls of a conversation to one model share.

    Attributes:
        traits: The model's traits.
        overhead: Tokens of the prompts that are in no map.
        tool_tokens: The part of the overhead that specifies the tools.
        system: Tokens of the overhead and the prologue together.
    """

    traits: Traits
    overhead: int
    tool_tokens: int
    system: int


class _Round(NamedTuple):
    """What the model wrote in one call, and what it had received by then."""

    received: _Sent
    output: int
    reasoning: int


def replay(nodes: Mapping[str, Node], began: datetime, bot: Bot | None = None) -> Replay:
    """Returns the calls that a conversation made.

    All branches count, because an answer that was edited away was billed too. Calls of a node without a model have an
    empty model name.

    Args:
        nodes: The conversation's message map.
        began: The time of nodes without a time.
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
        self._splitter = MessageParts()
        self._messages = {key: self._splitter.split(node, self._roles[key]) for key, node in nodes.items()}
        self._tools = self._splitter.tools | bot.tools
        self._prologue = _NOTHING
        for key, role in self._roles.items():
            if role in _PROLOGUE_ROLES:
                self._prologue = self._prologue.plus(self._messages[key])
                self._messages[key] = []  # the history must not send it again
        self._histories = _histories(self._parents, self._messages)
        self._models: dict[str, _Model] = {}
        self._cache = PromptCache()
        self._continued = False

    def run(self) -> Replay:
        calls = [call for time, end, key in sorted(self._answers()) for call in self._calls(time, end, key)]
        models = {call.model: model_traits(call.model) for call in calls}
        unknown = {
            "application_price_differs": any(map(_is_priced_otherwise, calls)),
            "continued_answers": self._continued,
            "estimated_files": self._splitter.estimated > 0,
            "hidden_reasoning": any(traits.hides_reasoning for traits in models.values()),
            "shortened_reasoning": any(call.reasoning and models[call.model].shortens_reasoning for call in calls),
            "unknown_tools": not self._tools <= TOOL_SPECIFICATIONS.keys(),
        }
        return Replay(calls, [reason for reason, holds in unknown.items() if holds])

    def _answers(self) -> Iterator[tuple[float, float, str]]:
        """Returns when each answer was asked for, when it was complete, and its key.

        Only the first answer was asked for at the time of its question. Later answers to it were made anew.
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
        traits, overhead, tool_tokens, system = self._models.get(model) or self._add_model(model)
        history = self._histories.get(self._parents[key], _NOTHING)
        # The cited chunks of a knowledge base are in the instruction of this answer's calls alone.
        chunks = sum(map(tokens, chunk_texts(node))) if node.get("used_chunks") else 0
        before = system + chunks + _tokens(history, traits)
        # Chunks are sent before the history: no two prompts begin alike, so the cache has none of them.
        points = [] if chunks else self._points(key, traits, system, tool_tokens)
        for number, round_ in enumerate(self._rounds(node, key, traits)):
            time = start if number == 0 else end
            received = round_.received
            # Within a turn, thinking is always sent back.
            whole = before + sum(received) - (0 if traits.takes_unsigned_reasoning else received.unsigned)
            read, write = 0, 0
            if points and traits.least_cached is not None and time >= _CACHING_SINCE_MS:
                read, write = self._cache.use(model, traits.least_cached, points, time)
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

    def _rounds(self, node: Node, key: str, traits: Traits) -> Iterator[_Round]:
        """The answer's rounds; further calls continued a round that is longer than one call may write."""
        rounds = _rounds(log_parts(node) + self._messages[key])
        longest = self._bot.max_tokens or traits.max_tokens
        if traits.has_budget and longest <= self._bot.thinking_budget and any(round_.reasoning for round_ in rounds):
            longest = self._bot.thinking_budget + TOKENS_BESIDE_BUDGET
        for round_ in rounds:
            calls = math.ceil(round_.output / longest)
            if not 1 < calls <= MOST_CONTINUED:
                yield round_
                continue
            self._continued = True
            for number in range(calls):
                # Each call also sends what the calls before it wrote.
                done = number * longest
                yield _Round(
                    round_.received._replace(text=round_.received.text + done),
                    min(round_.output - done, longest),
                    round_.reasoning if number == 0 else 0,
                )

    def _add_model(self, name: str) -> _Model:
        traits = model_traits(name)
        overhead, tool_tokens = self._overhead(name, traits)
        model = self._models[name] = _Model(traits, overhead, tool_tokens, overhead + _tokens(self._prologue, traits))
        return model

    def _overhead(self, model: str, traits: Traits) -> tuple[int, int]:
        """Returns the tokens of the prompts that are in no map, and the part of them that specifies the tools."""
        if not (self._tools and traits.uses_tools):
            return 0, 0
        specifications = sum(TOOL_SPECIFICATIONS.get(tool, 0) for tool in self._tools) // 4
        citing = CITING_PROMPT_FOR_NOVA if model.startswith("amazon-nova") else CITING_PROMPT
        return specifications + (citing // 4 if self._bot.shows_sources else 0), specifications

    def _points(self, key: str, traits: Traits, system: int, tool_tokens: int) -> list[CachePoint]:
        """The cache points of an answer's calls: after the tools, the system prompt, and the last two user messages."""
        if traits.least_cached is None or not self._bot.caches_prompts:
            return []
        points = []
        if traits.caches_tools or not self._tools:
            if self._tools:
                points.append(CachePoint("tools", tool_tokens))
            if system > tool_tokens:
                points.append(CachePoint("system", system))
        received = reversed(list(itertools.islice(self._received(self._parents[key]), 2)))
        # Where parents form a cycle, an older message may have a longer history than the call.
        most = _tokens(self._histories.get(self._parents[key], _NOTHING), traits)
        points += [CachePoint(name, system + min(_tokens(sent, traits), most)) for name, sent in received]
        return points

    def _received(self, key: str | None) -> Iterator[tuple[str, _Sent]]:
        """The user messages of a chain, newest first, each with all that is sent up to its end.

        Results of tools are user messages too, also where they are in an answer's node.
        """
        for passed in _chain(self._parents, key):
            if self._roles[passed] == "user":
                yield f"message {passed}", self._histories[passed]
            elif results := [number for number, part in enumerate(self._messages[passed]) if not part.written]:
                before = self._histories.get(self._parents[passed], _NOTHING)
                yield f"results {passed}", before.plus(self._messages[passed][: results[-1] + 1])

    def _time(self, node: Node) -> float:
        """A node's time in milliseconds; the conversation's where the node has no valid one."""
        time: Any = node.get("create_time")
        known = isinstance(time, int | float) and not isinstance(time, bool) and 0 < time < _LAST_TIME
        return float(time) if known else self._began


def _is_priced_otherwise(call: Call) -> bool:
    since = PRICED_OTHERWISE.get(call.model)
    return since is not None and call.milliseconds >= since.timestamp() * 1000


def _rounds(answer: list[Part]) -> list[_Round]:
    """The rounds of one answer: each time that the model received something, a new round begins."""
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
    if waiting:  # the answer is empty or was never stored
        rounds.append(_Round(sent, 0, 0))
    return rounds


def _tokens(sent: _Sent, traits: Traits) -> int:
    """The tokens that are billed when this is sent to a model."""
    return (
        sent.text
        + sent.image
        + sent.document
        + (sent.thinking if traits.keeps_thinking else 0)
        + (sent.unsigned if traits.takes_unsigned_reasoning else 0)
    )


def _histories(parents: _Parents, messages: Mapping[str, list[Part]]) -> dict[str | None, _Sent]:
    """What each node's chain sends: the node and its parents. Each node is visited once.

    A chain ends at a parent that is unknown or already in it.
    """
    histories: dict[str | None, _Sent] = {}
    for first, parent in parents.items():
        if parent in histories and first not in histories:  # a parent usually comes before its children
            histories[first] = histories[parent].plus(messages[first])
            continue
        chain = list(itertools.takewhile(lambda key: key not in histories, _chain(parents, first)))
        sent = histories.get(parents[chain[-1]], _NOTHING) if chain else _NOTHING
        for passed in reversed(chain):
            histories[passed] = sent = sent.plus(messages[passed])
    return histories


def _chain(parents: _Parents, key: str | None) -> Iterator[str]:
    """The keys of a node and its parents, up to one that is unknown or already passed."""
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
