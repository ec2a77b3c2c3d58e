"""Token counts under the `cl100k_base` encoding, with no network.

The counter is GitHub's crate `bpe` as the package `bpe-openai` carries it, with the vocabulary in it. It gives the
tokens of OpenAI's `tiktoken` (the tests compare them on any text) in a third of its time, and in linear time on any
text.
"""

import functools
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

from catlake.runtime.errors import CatlakeError

PACKAGE = "bpe-openai"

_MODULE = "bpe_openai._bindings"
# From OpenAI's own examples of this encoding.
_KNOWN_TEXT, _KNOWN_TOKENS = "tiktoken is great!", [83, 1609, 5963, 374, 2294, 0]


class EncodingError(CatlakeError):
    """The encoder cannot be loaded."""


@functools.cache
def cl100k_base() -> Any:
    """The encoder, with `encode` and `count`, loaded once a process.

    Raises:
        EncodingError: The package is missing, or is another one. Tokens are never counted in another way.
    """
    try:
        encoder = _bindings().tokenizer_for_encoding("cl100k_base")
    except (ImportError, AttributeError, ValueError) as error:
        raise EncodingError(
            f"the cl100k_base encoder cannot be loaded ({error}); install {PACKAGE} in the version that "
            "constraints-dev.txt names (on Glue: --additional-python-modules, see docs/operations.md)"
        ) from None
    if (tokens := encoder.encode(_KNOWN_TEXT)) != _KNOWN_TOKENS:
        raise EncodingError(
            f"the encoder of the package {PACKAGE} is not cl100k_base: it has the tokens {tokens} for "
            f"{_KNOWN_TEXT!r}, not {_KNOWN_TOKENS}; install the version that constraints-dev.txt names"
        )
    return encoder


def _bindings() -> Any:
    """The compiled module of the package, alone: the package itself makes tables of all its encodings, for a second."""
    if loaded := sys.modules.get(_MODULE):
        return loaded
    package = find_spec("bpe_openai")
    name = _MODULE.rpartition(".")[2]
    found = package and PathFinder.find_spec(name, package.submodule_search_locations)
    if not found or not found.loader:
        raise ImportError(f"No module named {_MODULE!r}")
    module = sys.modules[_MODULE] = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def token_count(text: str) -> int:
    """The number of tokens of a text; a special token ("<|endoftext|>") counts as plain text."""
    try:
        return int(cl100k_base().count(text))
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8; tiktoken takes it for U+FFFD too.
        return int(cl100k_base().count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))
