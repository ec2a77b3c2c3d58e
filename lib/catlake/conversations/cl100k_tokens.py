"""Token counts under the `cl100k_base` encoding, with no network.

The encoder is OpenAI's own `tiktoken`, which would fetch its vocabulary from the web. So the vocabulary comes from a
file of the package `bpe-openai`; its SHA-256 must be the one that tiktoken itself requires.
"""

import base64
import functools
import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from catlake.runtime.errors import CatlakeError

VOCABULARY_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

# Splits a text before bytes are merged. It is a part of the encoding's definition in tiktoken.
SPLIT = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


class EncodingError(CatlakeError):
    """The encoder cannot be loaded."""


@functools.cache
def cl100k_base() -> Any:
    """The encoder (a `tiktoken.Encoding`), loaded once a process.

    Raises:
        EncodingError: A package is missing, or its vocabulary is a different one. Tokens are never counted in another
            way.
    """
    try:
        import tiktoken

        packed = _packed_vocabulary()
    except (ImportError, OSError) as error:
        raise EncodingError(
            f"the cl100k_base encoder cannot be loaded ({error}); install tiktoken and bpe-openai "
            "(on Glue: --additional-python-modules, see docs/operations.md)"
        ) from None
    vocabulary = gzip.decompress(packed)
    digest = hashlib.sha256(vocabulary).hexdigest()
    if digest != VOCABULARY_SHA256:
        raise EncodingError(
            f"the vocabulary of cl100k_base in the package bpe-openai has the SHA-256 {digest}, "
            f"not {VOCABULARY_SHA256}; install the version that constraints-dev.txt names"
        )
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in vocabulary.splitlines())}
    return tiktoken.Encoding("cl100k_base", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={})


def _packed_vocabulary() -> bytes:
    # Importing the package would build all of its encodings, which takes a second.
    spec = find_spec("bpe_openai")
    if spec is None or spec.origin is None:
        raise ImportError("No module named 'bpe_openai'")
    return (Path(spec.origin).parent / "data/cl100k_base.tiktoken.gz").read_bytes()


def token_count(text: str) -> int:
    """The number of tokens of a text; a special token ("<|endoftext|>") counts as plain text."""
    return len(cl100k_base().encode_ordinary(text))
