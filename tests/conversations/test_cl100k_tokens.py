"""The cl100k_base encoder: true counts, no network, and a clear end where it cannot be loaded (docs/spec.md 2.2)."""

import gzip
import inspect
import socket
import sys
from functools import cache
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from catlake.conversations import cl100k_tokens as encoding
from catlake.conversations.cl100k_tokens import EncodingError, cl100k_base, token_count
from tests.texts import any_text

TEXTS = [
    "",
    "hola",
    "¿Cuánto cuesta el certificado catastral?",
    "<|endoftext|>",
    "antes <|fim_prefix|> y <|endofprompt|> después",
    "🙂👩‍👩‍👧‍👦🇨🇴",
    "e\u0301 ﬁ ǆ",
    "日本語とКириллицаと العربية",
    "it's we'LL I'Ve D'accord",
    "1234567890 3,14159 12/08/2025",
    "a\r\n\r\n  b\t\t\n   ",
    "\x00\x01\ufeff\u2028\u3000",
    " " * 5_000,
    "a" * 20_000,
    "ñ" * 3_000,
    "1" * 3_000,
    "?!" * 3_000,
    "\n" * 3_000,
    "SELECT * FROM t WHERE x='y'; -- {}[]()",
    '{"type": "like", "n": [1, 2]}',
]


@cache
def independent() -> Any:
    """An encoder in Rust that shares no code with tiktoken."""
    # Its import reads three vocabularies: all processes that run tests import this file, and one needs them.
    import bpe_openai

    return bpe_openai.get_encoding("cl100k_base")


def independent_count(text: str) -> int:
    return len(independent().encode_ordinary(text))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_counts_are_those_of_the_independent_encoder(text: str) -> None:
    assert token_count(text) == independent_count(text)


@settings(max_examples=300, deadline=None)
@given(any_text(max_size=200) | st.text(alphabet="aeñ '\n\r\t1.,?<|>🙂", max_size=200))
def test_counts_are_those_of_the_independent_encoder_on_any_text(text: str) -> None:
    assert cl100k_base().encode_ordinary(text) == independent().encode_ordinary(text)


def test_known_counts() -> None:
    # From OpenAI's own examples of this encoding.
    assert cl100k_base().encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]


@pytest.fixture
def not_loaded() -> Any:
    """The encoder as in a new process."""
    cl100k_base.cache_clear()
    yield
    cl100k_base.cache_clear()


@pytest.mark.usefixtures("not_loaded")
@pytest.mark.parametrize("package", ["tiktoken", "bpe_openai"])
def test_a_missing_package_fails_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EncodingError, match=r"^the cl100k_base encoder cannot be loaded \(.+\); install tiktoken and"):
        cl100k_base()


@pytest.mark.usefixtures("not_loaded")
def test_another_vocabulary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    true = gzip.decompress(resources.files("bpe_openai.data").joinpath("cl100k_base.tiktoken.gz").read_bytes())
    # The last two tokens change places: the counts would hardly show it.
    lines = true.splitlines(keepends=True)
    changed = b"".join([*lines[:-2], lines[-1], lines[-2]])
    monkeypatch.setattr("gzip.decompress", lambda packed: changed)
    with pytest.raises(EncodingError, match=f"has the SHA-256 [0-9a-f]+, not {encoding.VOCABULARY_SHA256}; install"):
        cl100k_base()


@pytest.mark.usefixtures("not_loaded")
def test_loading_and_counting_open_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert len(cl100k_base().encode_ordinary("hola")) == 2


def test_the_split_and_the_vocabulary_are_the_ones_that_tiktoken_defines() -> None:
    source = inspect.getsource(openai_public.cl100k_base)
    assert encoding.SPLIT in source
    assert encoding.VOCABULARY_SHA256 in source
