"""Estimates the tokens that Bedrock bills for a conversation, from its message map alone.

Each call to the model sends the whole history again, so billed input is many times the sum of the texts. Every
assistant node is at least one call; every round of tools before its answer is one more. docs/token-costs.md explains
what a call sends and what cannot be known about it, with the errors measured against genuine calls.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from catlake.bedrock.length4_tokens import OUTPUT_ROLES, chunk_texts, tokens
from catlake.bedrock.message_map import Node, role_of
from catlake.bedrock.message_parts import Part, log_parts, message_parts

# Sent with every call, on whichever branch.
_PROLOGUE_ROLES = frozenset({"system", "instruction"})


class Usage(NamedTuple):
    """Estimated billed tokens of one model in a conversation; `images` is the part of `input` that images are."""

    model: str
    calls: int
    input: int
    output: int
    images: int


class _Sent(NamedTuple):
    """What a call sends: its tokens, and how many of them are for images."""

    tokens: int = 0
    images: int = 0

    def plus(self, parts: Iterable[Part]) -> "_Sent":
        total, images = self
        for part in parts:
            total += part.tokens
            images += part.images
        return _Sent(total, images)


def billed(nodes: Mapping[str, Node]) -> list[Usage]:
    """Estimated usage of each model, by the name that its nodes store, in the order of the first answer.

    All branches count, because an answer that was edited away was billed too. A node without a model counts under the
    empty name.

    Raises:
        RecursionError: The map is nested too deeply.
    """
    messages = {key: message_parts(node) for key, node in nodes.items()}
    prologue = _Sent()
    for key, node in nodes.items():
        if role_of(node) in _PROLOGUE_ROLES:
            prologue = prologue.plus(messages[key])
            messages[key] = []  # no chain sends it a second time
    histories = _histories(nodes, messages)
    usages: dict[str, Usage] = {}
    for key, node in nodes.items():
        if role_of(node) in OUTPUT_ROLES:
            history = histories.get(_parent(node), _Sent())
            # The instruction of this answer's calls, and of no other, contains the cited chunks of a knowledge base.
            chunks = sum(tokens(text) for text in chunk_texts(node))
            sent = _Sent(prologue.tokens + history.tokens + chunks, prologue.images + history.images)
            usage = _usage(_model(node), sent, log_parts(node) + messages[key])
            earlier = usages.get(usage.model, Usage(usage.model, 0, 0, 0, 0))
            usages[usage.model] = Usage(
                usage.model,
                earlier.calls + usage.calls,
                earlier.input + usage.input,
                earlier.output + usage.output,
                earlier.images + usage.images,
            )
    return list(usages.values())


def _usage(model: str, sent: _Sent, answer: list[Part]) -> Usage:
    """The calls that made one answer: what the model writes after it received something is a call of its own."""
    calls, input_, images, output = 0, 0, 0, 0
    waiting = True
    for part in answer:
        if part.written:
            output += part.tokens
        if part.written and waiting:
            calls, input_, images = calls + 1, input_ + sent.tokens, images + sent.images
        waiting = not part.written
        sent = _Sent(sent.tokens + part.tokens, sent.images + part.images)
    if waiting:  # the answer itself is empty or was never stored
        calls, input_, images = calls + 1, input_ + sent.tokens, images + sent.images
    return Usage(model, calls, input_, output, images)


def _histories(nodes: Mapping[str, Node], messages: Mapping[str, list[Part]]) -> dict[str | None, _Sent]:
    """What each node's chain of parents sends, the node itself included; each chain is walked once.

    A chain ends at a parent that is unknown or already passed.
    """
    histories: dict[str | None, _Sent] = {}
    for first in nodes:
        chain: dict[str, None] = {}
        key: str | None = first
        while key is not None and key in nodes and key not in histories and key not in chain:
            chain[key] = None
            key = _parent(nodes[key])
        sent = histories.get(key, _Sent())
        for passed in reversed(chain):
            histories[passed] = sent = sent.plus(messages[passed])
    return histories


def _parent(node: Node) -> str | None:
    parent = node.get("parent")
    return parent if isinstance(parent, str) else None


def _model(node: Node) -> str:
    model = node.get("model")
    return model if isinstance(model, str) else ""
