"""The cl100k_base encoder: true counts, no network, and a clear end where it cannot be loaded (docs/spec.md 2.2)."""

import socket
import sys
from functools import cache
from importlib.machinery import PathFinder
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.programs.plain_conversations import encoder
from catlake.conversations import cl100k_tokens
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
    "half a pair: \ud83d, and the other: \ude00!",
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
def tiktoken() -> Any:
    """OpenAI's own encoder, which shares no code with the product's."""
    return encoder()


def independent_count(text: str) -> int:
    return len(tiktoken().encode_ordinary(text))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_counts_are_those_of_tiktoken(text: str) -> None:
    assert token_count(text) == independent_count(text)


@settings(max_examples=300, deadline=None)
@given(any_text(max_size=200) | st.text(alphabet="aeñ '\n\r\t1.,?<|>🙂", max_size=200))
def test_tokens_are_those_of_tiktoken_on_any_text(text: str) -> None:
    assert cl100k_base().encode(text) == tiktoken().encode_ordinary(text)


@pytest.mark.slow
def test_tokens_are_those_of_tiktoken_for_every_character() -> None:
    characters = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    text = " ".join(f"a{character}b 1{character}!{character}" for character in characters)
    assert cl100k_base().encode(text) == tiktoken().encode_ordinary(text)


def test_tokens_are_those_of_tiktoken_for_every_token_of_the_vocabulary() -> None:
    texts = [token.decode(errors="replace") for token in tiktoken().token_byte_values()]
    assert len(texts) == 100_256
    assert [cl100k_base().encode(text) for text in texts] == [tiktoken().encode_ordinary(text) for text in texts]


def test_a_text_of_millions_of_characters_is_counted() -> None:
    assert [token_count(text * 1_500_000) for text in ("a", " ", "1")] == [187_500, 11_720, 500_000]


def test_known_counts() -> None:
    # From OpenAI's own examples of this encoding.
    assert cl100k_base().encode("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]


@pytest.fixture
def not_loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The encoder as in a new process."""
    cl100k_base.cache_clear()
    yield
    cl100k_base.cache_clear()


MESSAGE = r"^the cl100k_base encoder cannot be loaded \(.+\); install bpe-openai in the version"


@pytest.mark.usefixtures("not_loaded")
def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cl100k_tokens, "_MODULE", "bpe_openai._another")
    monkeypatch.setattr(cl100k_tokens, "find_spec", lambda _: None)
    with pytest.raises(EncodingError, match=MESSAGE):
        cl100k_base()


@pytest.mark.usefixtures("not_loaded")
def test_another_version_of_the_package_without_the_module_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cl100k_tokens, "_MODULE", "bpe_openai._another")
    assert PathFinder.find_spec("_another") is None
    with pytest.raises(EncodingError, match=MESSAGE):
        cl100k_base()


@pytest.mark.usefixtures("not_loaded")
def test_another_encoding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = cl100k_tokens._bindings()
    other = bindings.tokenizer_for_encoding("o200k_base")
    monkeypatch.setattr(bindings, "tokenizer_for_encoding", lambda _: other)
    with pytest.raises(EncodingError, match=r"^the encoder of the package bpe-openai is not cl100k_base: it has the"):
        cl100k_base()


@pytest.mark.usefixtures("not_loaded")
def test_loading_and_counting_open_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert token_count("hola") == 2
