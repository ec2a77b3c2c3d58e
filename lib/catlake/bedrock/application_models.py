"""How the models of the chat application differ: cache, tools, reasoning, and the longest answer.

The facts come from the application's newest version and from the models' makers; docs/token-costs.md names the sources.
The names of the models are the application's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple


class Traits(NamedTuple):
    """How the application calls a model, and what the model's API does with the call.

    Attributes:
        least_cached: The smallest prefix that is cached, in tokens; None: prompts of this model are not cached.
        caches_tools: Whether the tools' specifications may end with a cache point.
        keeps_thinking: Whether the thinking of earlier turns stays in the context, and so is billed again.
        takes_unsigned_reasoning: Whether the application sends reasoning without a signature back to it.
        uses_tools: Whether it can use tools. If not, the application sends retrieved chunks with the prompt.
        shortens_reasoning: Whether its answers hold only a summary of the thinking, which is billed whole.
        hides_reasoning: Whether its answers leave out the thinking, which is billed all the same.
        has_budget: Whether a call that thinks has a budget for it, which is a part of its longest answer.
        max_tokens: The longest answer of one call, unless the bot sets another limit.
    """

    least_cached: int | None = None
    caches_tools: bool = False
    keeps_thinking: bool = True
    takes_unsigned_reasoning: bool = True
    uses_tools: bool = True
    shortens_reasoning: bool = False
    hides_reasoning: bool = False
    has_budget: bool = False
    max_tokens: int = 4_096


# The API drops the thinking of earlier turns for all Claude models before Opus 4.5 and Sonnet 4.6, and for all Haiku.
_OLDER_CLAUDE = Traits(keeps_thinking=False)
_CACHING_CLAUDE = _OLDER_CLAUDE._replace(least_cached=1_024, caches_tools=True)
_CLAUDE_3_7 = _CACHING_CLAUDE._replace(has_budget=True)
_CLAUDE_4 = _CLAUDE_3_7._replace(shortens_reasoning=True)
_OPUS_4_5 = _CLAUDE_4._replace(least_cached=4_096, keeps_thinking=True)
# From 4.6 on the model itself decides how much it thinks.
_OPUS_4_6 = _OPUS_4_5._replace(has_budget=False)
_NOVA = Traits(least_cached=1_000)
_LLAMA = Traits(max_tokens=2_048)
_SMALL_LLAMA = _LLAMA._replace(uses_tools=False)
_GPT_OSS = Traits(takes_unsigned_reasoning=False)
_OTHER = Traits()

_TRAITS = {
    "amazon-nova-lite": _NOVA,
    "amazon-nova-micro": _NOVA,
    "amazon-nova-pro": _NOVA,
    "claude-v3-haiku": _OLDER_CLAUDE,
    "claude-v3-opus": _OLDER_CLAUDE,
    "claude-v3-sonnet": _OLDER_CLAUDE,
    "claude-v3.5-sonnet": _OLDER_CLAUDE,
    "claude-v3.5-sonnet-v2": _CACHING_CLAUDE,
    "claude-v3.5-haiku": _CACHING_CLAUDE._replace(least_cached=2_048),
    "claude-v3.7-sonnet": _CLAUDE_3_7,
    "claude-v4-sonnet": _CLAUDE_4,
    "claude-v4-opus": _CLAUDE_4,
    "claude-v4.1-opus": _CLAUDE_4,
    "claude-v4.5-sonnet": _CLAUDE_4,
    "claude-v4.5-haiku": _CLAUDE_4._replace(least_cached=4_096),
    "claude-v4.5-opus": _OPUS_4_5,
    "claude-v4.6-sonnet": _OPUS_4_6._replace(least_cached=2_048),
    "claude-v4.6-opus": _OPUS_4_6,
    "claude-v4.7-opus": _OPUS_4_6._replace(shortens_reasoning=False, hides_reasoning=True),
    "deepseek-r1": Traits(takes_unsigned_reasoning=False, uses_tools=False),
    "gpt-oss-20b": _GPT_OSS,
    "gpt-oss-120b": _GPT_OSS,
    "llama3-2-1b-instruct": _SMALL_LLAMA,
    "llama3-2-3b-instruct": _SMALL_LLAMA,
    "llama3-2-11b-instruct": _LLAMA,
    "llama3-2-90b-instruct": _LLAMA,
    "llama3-3-70b-instruct": _LLAMA,
}

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_EXTENDED_ACCESS = datetime(2025, 12, 1, tzinfo=UTC)

PRICED_OTHERWISE: Mapping[str, datetime] = {
    "claude-v3.5-haiku": _ALWAYS,
    "claude-v3.5-sonnet": _EXTENDED_ACCESS,
    "claude-v3.5-sonnet-v2": _EXTENDED_ACCESS,
    "gpt-oss-20b": _ALWAYS,
    "gpt-oss-120b": _ALWAYS,
    "mistral-large-2": _ALWAYS,
}
"""The models whose price in the application is not AWS's, so that its TotalPrice is wrong, and since when."""


def model_traits(model: str) -> Traits:
    """The traits of a model; a model that is not listed caches nothing."""
    return _TRAITS.get(model, _OTHER)
