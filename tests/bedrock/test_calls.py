"""What a conversation really sent: the rules one by one, then the error against genuine calls of older versions."""

import base64
import json
import re
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from catlake.bedrock.calls import CITING_PROMPT, TOOL_SPECIFICATIONS, Bot, Call, replay
from catlake.bedrock.image_size import UNKNOWN_SIZE_TOKENS as IMAGE_TOKENS
from catlake.bedrock.message_map import Node
from tests.bedrock.genuine import calls, conversations

# It has no cache, and the texts here are short of one.
MODEL = "claude-v3.7-sonnet"
BEGAN = datetime(2025, 12, 1, tzinfo=UTC)


class Usage(NamedTuple):
    """The calls to one model, added up; `input` without what no map holds."""

    model: str
    calls: int
    input: int
    output: int
    images: int


def billed(nodes: Mapping[str, Node], bot: Bot | None = None) -> list[Usage]:
    found: dict[str, Usage] = {}
    for call in replay(nodes, BEGAN, bot).calls:
        before = found.get(call.model, Usage(call.model, 0, 0, 0, 0))
        sent = call.input + call.cache_read + call.cache_write - call.overhead
        added = (1, sent, call.output, call.images)
        found[call.model] = Usage(call.model, *(one + more for one, more in zip(before[1:], added, strict=True)))
    return list(found.values())


# What an instruction, a question and an answer of the tests have: 100, 10 and 20 tokens.
INSTRUCTION, QUESTION, ANSWER = 100, 10, 20


def text(tokens: int) -> dict[str, Any]:
    return {"content_type": "text", "body": "x" * tokens * 4}


def node(role: str, parent: Any, *content: Any, model: Any = MODEL, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": list(content), "parent": parent, "model": model} | more


def question(parent: Any = "system", *content: Any) -> dict[str, Any]:
    return node("user", parent, *(content or (text(QUESTION),)))


def answer(parent: Any, *content: Any, **more: Any) -> dict[str, Any]:
    return node("assistant", parent, *(content or (text(ANSWER),)), **more)


def usage(calls: int, input: int, output: int, images: int = 0, model: str = MODEL) -> Usage:
    return Usage(model, calls, input, output, images)


SYSTEM = {"system": node("system", None, text(0))}
# {"q": "1234567"} and a name of 4: 5 tokens.
TOOL_USE = {"content_type": "toolUse", "body": {"toolUseId": "t" * 40, "name": "find", "input": {"q": "1234567"}}}
TOOL_RESULT = {"content_type": "toolResult", "body": {"toolUseId": "t" * 40, "content": [{"text": "x" * 120}]}}
TOOL_USED, RESULTED = 5, 30
ROUND = [{"role": "assistant", "content": [TOOL_USE]}, {"role": "user", "content": [TOOL_RESULT]}]


def test_a_conversation_without_an_answer_sent_nothing() -> None:
    assert billed({}) == []
    assert billed(SYSTEM | {"q": question()}) == []


def test_one_call_sends_the_question() -> None:
    assert billed(SYSTEM | {"q": question(), "a": answer("q")}) == [usage(1, QUESTION, ANSWER)]


def test_each_call_sends_the_whole_history_again() -> None:
    turns = 12
    nodes = dict(SYSTEM)
    for turn in range(turns):
        nodes[f"q{turn}"] = question(f"a{turn - 1}" if turn else "system")
        nodes[f"a{turn}"] = answer(f"q{turn}")
    sent = turns * QUESTION + (QUESTION + ANSWER) * turns * (turns - 1) // 2
    assert billed(nodes) == [usage(turns, sent, turns * ANSWER)]
    assert sent == 17.5 * turns * QUESTION


@pytest.mark.parametrize("first_parent", ["instruction", "system"], ids=["in the chain", "beside the chain"])
def test_the_instruction_goes_with_every_call_once(first_parent: str) -> None:
    nodes = SYSTEM | {
        "instruction": node("instruction", "system", text(INSTRUCTION)),
        "q1": question(first_parent),
        "a1": answer("q1"),
        "q2": question("a1"),
        "a2": answer("q2"),
    }
    sent = 2 * INSTRUCTION + QUESTION + (QUESTION + ANSWER + QUESTION)
    assert billed(nodes) == [usage(2, sent, 2 * ANSWER)]


def test_a_branch_that_was_left_was_billed_but_is_not_sent_by_the_others() -> None:
    nodes = SYSTEM | {"q1": question(), "a1": answer("q1"), "q2": question(), "a2": answer("q2")}
    assert billed(nodes) == [usage(2, 2 * QUESTION, 2 * ANSWER)]


def test_an_answer_made_anew_sends_its_question_anew() -> None:
    nodes = SYSTEM | {"q": question(), "a1": answer("q"), "a2": answer("q")}
    assert billed(nodes) == [usage(2, 2 * QUESTION, 2 * ANSWER)]


def test_usage_is_by_the_answers_model() -> None:
    nodes = SYSTEM | {
        "q1": question(),
        "a1": answer("q1", model="claude-v3-haiku"),
        "q2": question("a1"),
        "a2": answer("q2", model=None),
    }
    assert billed(nodes) == [
        usage(1, QUESTION, ANSWER, model="claude-v3-haiku"),
        usage(1, QUESTION + ANSWER + QUESTION, ANSWER, model=""),
    ]


@pytest.mark.parametrize("rounds", [1, 3])
def test_each_round_of_tools_in_the_log_is_a_call_that_sends_the_rounds_before(rounds: int) -> None:
    nodes = SYSTEM | {"q": question(), "a": answer("q", thinking_log=ROUND * rounds)}
    sent = sum(QUESTION + done * (TOOL_USED + RESULTED) for done in range(rounds + 1))
    assert billed(nodes) == [usage(rounds + 1, sent, rounds * TOOL_USED + ANSWER)]


def test_rounds_in_content_are_calls_too() -> None:
    content = [text(ANSWER), TOOL_USE, TOOL_USE, TOOL_RESULT, TOOL_RESULT, text(ANSWER)]
    sent = QUESTION + (QUESTION + ANSWER + 2 * TOOL_USED + 2 * RESULTED)
    expected = [usage(2, sent, 2 * TOOL_USED + 2 * ANSWER)]
    assert billed(SYSTEM | {"q": question(), "a": answer("q", *content)}) == expected


def test_rounds_as_nodes_of_their_own_are_calls_too() -> None:
    nodes = SYSTEM | {
        "q": question(),
        "a1": answer("q", TOOL_USE),
        "r": question("a1", TOOL_RESULT),
        "a2": answer("r"),
    }
    assert billed(nodes) == [usage(2, QUESTION + QUESTION + TOOL_USED + RESULTED, TOOL_USED + ANSWER)]


def test_roles_and_types_are_compared_without_regard_to_case_and_spaces() -> None:
    plain = SYSTEM | {"q": question(), "a": answer("q", TOOL_USE, TOOL_RESULT, text(ANSWER))}
    words = re.compile(r'("(?:role|content_type)": )"(\w+)"')
    shouted = json.loads(words.sub(lambda found: f'{found[1]}" {found[2].upper()} "', json.dumps(plain)))
    assert shouted != plain
    assert billed(shouted) == billed(plain) != []


def test_a_later_turn_sends_the_rounds_of_the_earlier() -> None:
    nodes = SYSTEM | {
        "q1": question(),
        "a1": answer("q1", thinking_log=ROUND),
        "q2": question("a1"),
        "a2": answer("q2"),
    }
    first = QUESTION + (QUESTION + TOOL_USED + RESULTED)
    second = QUESTION + TOOL_USED + RESULTED + ANSWER + QUESTION
    assert billed(nodes) == [usage(3, first + second, TOOL_USED + 2 * ANSWER)]


def test_tool_traffic_is_measured_as_it_is_sent_not_escaped() -> None:
    use = {"content_type": "toolUse", "body": {"name": "", "input": {"q": "ñññññññ"}}}
    result = {"content_type": "toolResult", "body": {"content": [{"json": {"r": "ñññññññ"}}]}}
    nodes = SYSTEM | {"q": question(), "a": answer("q", use, result, text(ANSWER))}
    assert billed(nodes) == [usage(2, QUESTION + QUESTION + 4 + 4, 4 + ANSWER)]


def test_a_log_that_is_one_text_is_calls_of_its_own_answer_only() -> None:
    # "Thought: " and "Observation: " with their line ends: 36 and 80 characters.
    log = "Thought: " + "x" * 26 + "\n" + "Observation: " + "x" * 67
    nodes = SYSTEM | {
        "q1": question(),
        "a1": answer("q1", thinking_log=log),
        "q2": question("a1"),
        "a2": answer("q2"),
    }
    first = QUESTION + (QUESTION + 9 + 20)
    second = QUESTION + ANSWER + QUESTION
    assert billed(nodes) == [usage(3, first + second, 9 + 2 * ANSWER)]


def test_chunks_go_with_their_own_answers_calls_only() -> None:
    chunks = [{"content": "x" * 400}, {"content": "x" * 400}]
    nodes = SYSTEM | {
        "q1": question(),
        "a1": answer("q1", used_chunks=chunks),
        "q2": question("a1"),
        "a2": answer("q2"),
    }
    assert billed(nodes) == [usage(2, (200 + QUESTION) + (QUESTION + ANSWER + QUESTION), 2 * ANSWER)]


def test_an_image_is_sent_again_with_every_call() -> None:
    image = {"content_type": "image", "media_type": "image/png", "body": "iVBORw0KGgo"}
    nodes = SYSTEM | {
        "q1": question("system", image, text(QUESTION)),
        "a1": answer("q1"),
        "q2": question("a1"),
        "a2": answer("q2"),
    }
    texts = QUESTION + (QUESTION + ANSWER + QUESTION)
    assert billed(nodes) == [usage(2, texts + 2 * IMAGE_TOKENS, 2 * ANSWER, images=2 * IMAGE_TOKENS)]


def test_a_tools_image_and_document_count_like_a_users() -> None:
    result = {"content": [{"image": {"format": "png"}}, {"document": {"name": "a.txt", "document": "eHh4eHh4eHg="}}]}
    nodes = SYSTEM | {"q": question(), "a": answer("q", TOOL_USE, {"content_type": "toolResult", "body": result})}
    sent = QUESTION + (QUESTION + TOOL_USED + IMAGE_TOKENS + 2)
    assert billed(nodes) == [usage(2, sent, TOOL_USED, images=IMAGE_TOKENS)]


@pytest.mark.parametrize(
    ("body", "tokens"), [("eHh4eHh4eHg=", 2), ("eHh4eHh4eA==", 1), ("", 0), (None, 0), (["eHh4"], 0)], ids=str
)
def test_an_attachment_counts_a_token_for_four_characters_of_its_text(body: Any, tokens: int) -> None:
    attachment = {"content_type": "attachment", "file_name": "a.txt", "body": body}
    nodes = SYSTEM | {"q": question("system", attachment), "a": answer("q")}
    assert billed(nodes) == [usage(1, tokens, ANSWER)]


def attachment(name: str, content: bytes) -> dict[str, Any]:
    return {"content_type": "attachment", "file_name": name, "body": base64.b64encode(content).decode()}


def test_documents_that_cannot_be_read_are_estimated_and_stop_no_other_before_the_third() -> None:
    broken, old, plain = (attachment(name, b"x" * 230) for name in ("a.pdf", "a.doc", "a.csv"))
    nodes = SYSTEM | {"q": question("system", old, old, old, broken, broken, plain), "a": answer("q")}
    replayed = replay(nodes, BEGAN)
    assert (replayed.calls[0].documents, replayed.reasons) == (5 * 10 + 57, ["estimated_files"])
    nodes["q"]["content"].insert(0, broken)
    assert replay(nodes, BEGAN).calls[0].documents == 7 * 10


def reasoning(tokens: int) -> dict[str, Any]:
    return {
        "content_type": "reasoning",
        "text": "x" * tokens * 4,
        "signature": "s" * 400,
        "redacted_content": "r" * 400,
    }


@pytest.mark.parametrize(
    ("model", "signed", "again"),
    [
        # The API strips the thinking of earlier turns, which it knows by its signature.
        ("claude-v4.5-haiku", True, 0),
        ("claude-v4.5-haiku", False, 50),
        ("claude-v4.6-opus", True, 50),
        ("claude-v4.6-sonnet", True, 50),
        # The application drops it.
        ("deepseek-r1", False, 0),
        ("gpt-oss-120b", False, 0),
        ("mistral-large-2", False, 50),
    ],
)
def test_reasoning_is_output_and_a_later_turn_sends_it_again_where_the_model_keeps_it(
    model: str, signed: bool, again: int
) -> None:
    nodes = SYSTEM | {
        "q1": question(),
        "a1": answer("q1", reasoning(50) | ({} if signed else {"signature": ""}), text(ANSWER)),
        "q2": question("a1"),
        "a2": answer("q2"),
    }
    sent = QUESTION + (QUESTION + again + ANSWER + QUESTION)
    nodes = {key: node | {"model": model} for key, node in nodes.items()}
    assert billed(nodes) == [usage(2, sent, 50 + 2 * ANSWER, model=model)]


def test_reasoning_copied_from_the_log_into_the_answer_was_written_once() -> None:
    log = [{"role": "assistant", "content": [reasoning(50), TOOL_USE]}, ROUND[1]]
    nodes = SYSTEM | {"q": question(), "a": answer("q", reasoning(50), text(ANSWER), thinking_log=log)}
    sent = QUESTION + (QUESTION + 50 + TOOL_USED + RESULTED)
    assert billed(nodes) == [usage(2, sent, 50 + TOOL_USED + ANSWER)]


@pytest.mark.parametrize("content", [[], None, [text(0)]], ids=["no content", "null", "an empty text"])
def test_an_empty_answer_was_a_call_all_the_same(content: Any) -> None:
    nodes = SYSTEM | {"q": question(), "a": answer("q") | {"content": content}}
    assert billed(nodes) == [usage(1, QUESTION, 0)]


@pytest.mark.parametrize("parent", [None, "gone", 7, ["q"], "a"], ids=str)
def test_a_chain_ends_where_its_parent_cannot_be_followed(parent: Any) -> None:
    assert billed({"a": answer(parent)}) == [usage(1, 0 if parent != "a" else ANSWER, ANSWER)]


def test_a_circle_of_parents_ends() -> None:
    (found,) = billed({"q": question("a"), "a": answer("q")})
    assert (found.calls, found.output) == (1, ANSWER)


@pytest.mark.parametrize("first", ["a", "q"])
def test_in_a_circle_of_parents_no_call_reads_more_from_the_cache_than_it_sends(first: str) -> None:
    nodes = {"a": answer("q", text(ANSWER), TOOL_RESULT, model=CACHING), "q": question("a") | {"content": []}}
    for call in replay({key: nodes[key] for key in (first, *nodes)}, BEGAN, None).calls:
        assert min(call.input, call.cache_read, call.cache_write) >= 0


def test_ten_thousand_turns_are_walked_once() -> None:
    nodes = {str(key): (answer if key % 2 else question)(str(key - 1)) for key in range(20_000)}
    began = time.perf_counter()
    (found,) = billed(nodes)
    assert found.calls == 10_000
    assert time.perf_counter() - began < 5  # walking each chain to its end would take minutes


# --- time, cache, overheads, continued answers

MINUTE = 60_000
CACHING = "claude-v4-sonnet"


def talk(turns: int, minutes: float = 1, model: str = CACHING, tokens: int = 2_000, **more: Any) -> dict[str, Any]:
    """Questions and answers of so many tokens, a question every so many minutes, each answered at once."""
    nodes: dict[str, Any] = {"system": node("system", None, text(0), model=model)}
    for turn in range(turns):
        time = BEGAN.timestamp() * 1000 + turn * minutes * MINUTE
        parent = f"a{turn - 1}" if turn else "system"
        nodes[f"q{turn}"] = node("user", parent, text(tokens), model=model, create_time=time)
        nodes[f"a{turn}"] = node("assistant", f"q{turn}", text(tokens), model=model, create_time=time, **more)
    return nodes


def cached(calls: list[Call]) -> list[tuple[int, int, int]]:
    return [(call.input, call.cache_read, call.cache_write) for call in calls]


def test_a_call_reads_what_the_call_before_wrote_and_writes_the_rest() -> None:
    assert cached(replay(talk(3), BEGAN).calls) == [(0, 0, 2_000), (0, 2_000, 4_000), (0, 6_000, 4_000)]


@pytest.mark.parametrize(("minutes", "read"), [(5, 2_000), (5.01, 0)])
def test_a_cached_prefix_lives_five_minutes(minutes: float, read: int) -> None:
    assert replay(talk(2, minutes), BEGAN).calls[1].cache_read == read


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("claude-v4-sonnet", 1_024),
        ("claude-v3.5-haiku", 2_048),
        ("claude-v4.5-haiku", 4_096),
        ("amazon-nova-pro", 1_000),
    ],
)
def test_a_prefix_is_cached_from_its_models_least_size_on(model: str, least: int) -> None:
    assert cached(replay(talk(1, model=model, tokens=least), BEGAN).calls) == [(0, 0, least)]
    assert cached(replay(talk(1, model=model, tokens=least - 1), BEGAN).calls) == [(least - 1, 0, 0)]


def test_nothing_is_cached_by_other_models_for_bots_without_it_or_before_it_existed() -> None:
    plain = [(2_000, 0, 0), (6_000, 0, 0)]
    assert cached(replay(talk(2, model="claude-v3.5-sonnet"), BEGAN).calls) == plain
    assert cached(replay(talk(2), BEGAN, Bot(caches_prompts=False)).calls) == plain
    early = datetime(2025, 4, 1, tzinfo=UTC).timestamp() * 1000
    before = {key: node | {"create_time": early} for key, node in talk(2).items()}
    assert cached(replay(before, BEGAN).calls) == plain


def test_each_model_has_a_cache_of_its_own() -> None:
    nodes = talk(2)
    nodes["a1"]["model"] = "claude-v4.5-sonnet"
    assert cached(replay(nodes, BEGAN).calls) == [(0, 0, 2_000), (0, 0, 6_000)]


def test_an_instruction_is_cached_alone_too() -> None:
    nodes = talk(2, minutes=1) | {"instruction": node("instruction", "system", text(3_000))}
    # The second question begins a branch of its own: only the instruction is common.
    nodes["q1"]["parent"] = "system"
    assert cached(replay(nodes, BEGAN).calls) == [(0, 0, 5_000), (0, 3_000, 2_000)]


def test_a_round_of_tools_reads_the_question_and_the_next_turn_has_its_points_behind_the_results() -> None:
    nodes = talk(2)
    nodes["a0"]["thinking_log"] = ROUND
    first, second, third = replay(nodes, BEGAN).calls
    before = first.overhead + 2_000
    assert cached([first, second]) == [(0, 0, before), (TOOL_USED + RESULTED, before, 0)]
    # The last two messages of the user are now the results and the new question.
    assert cached([third]) == [(0, 0, before + TOOL_USED + RESULTED + 4_000)]


TOOLS = frozenset({"internet_search", "knowledge_base_tool"})


@pytest.mark.parametrize(
    ("model", "bot", "characters"),
    [
        (MODEL, Bot(tools=TOOLS), sum(TOOL_SPECIFICATIONS.values()) + CITING_PROMPT),
        (MODEL, Bot(tools=TOOLS, shows_sources=False), sum(TOOL_SPECIFICATIONS.values())),
        (
            MODEL,
            Bot(tools=frozenset({"knowledge_base_tool"})),
            TOOL_SPECIFICATIONS["knowledge_base_tool"] + CITING_PROMPT,
        ),
        ("deepseek-r1", Bot(tools=TOOLS), 0),
        (MODEL, Bot(), 0),
    ],
)
def test_each_call_of_a_bot_with_tools_sends_their_specifications_and_the_prompt_to_cite(
    model: str, bot: Bot, characters: int
) -> None:
    nodes = SYSTEM | {"q": question(), "a": answer("q", model=model)}
    (call,) = replay(nodes, BEGAN, bot).calls
    assert call.overhead == pytest.approx(characters / 4, abs=1)
    assert call.input == QUESTION + call.overhead


def test_tools_are_known_by_their_use_too() -> None:
    use = {"content_type": "toolUse", "body": {"name": "internet_search", "input": {}}}
    replayed = replay(SYSTEM | {"q": question(), "a": answer("q", use)}, BEGAN)
    assert replayed.calls[0].overhead == TOOL_SPECIFICATIONS["internet_search"] // 4 + CITING_PROMPT // 4
    assert replayed.reasons == []
    assert replay(SYSTEM | {"q": question(), "a": answer("q", TOOL_USE)}, BEGAN).reasons == ["unknown_tools"]


def test_an_answer_that_is_longer_than_a_call_may_write_was_continued() -> None:
    nodes = SYSTEM | {"q": question(), "a": answer("q", text(1_000))}
    replayed = replay(nodes, BEGAN, Bot(max_tokens=400))
    assert [(call.input, call.output) for call in replayed.calls] == [
        (QUESTION, 400),
        (QUESTION + 400, 400),
        (QUESTION + 800, 200),
    ]
    assert replayed.reasons == ["continued_answers"]
    # A limit that is newer than the answer, and one that is none.
    assert [len(replay(nodes, BEGAN, Bot(max_tokens=limit)).calls) for limit in (50, 49, 1, 0, -1)] == [20, 1, 1, 1, 1]
    assert len(replay(nodes, BEGAN).calls) == 1


@pytest.mark.parametrize(
    ("model", "bot", "outputs"),
    [
        # The limit is not above the budget, so that the application sends the budget and 1,024 tokens more.
        ("claude-v4.5-sonnet", Bot(max_tokens=1_000), [1_400]),
        ("claude-v4.5-sonnet", Bot(max_tokens=1_000, thinking_budget=1_000), [1_400]),
        ("claude-v4.5-sonnet", Bot(max_tokens=1_000, thinking_budget=999), [1_000, 400]),
        # A model that decides itself how much it thinks has no budget.
        ("claude-v4.6-opus", Bot(max_tokens=1_000), [1_000, 400]),
    ],
)
def test_a_call_that_thinks_has_room_beside_its_budget(model: str, bot: Bot, outputs: list[int]) -> None:
    nodes = SYSTEM | {"q": question(), "a": answer("q", reasoning(800), text(600), model=model)}
    assert [call.output for call in replay(nodes, BEGAN, bot).calls] == outputs
    without = SYSTEM | {"q": question(), "a": answer("q", text(1_400), model=model)}
    assert [call.output for call in replay(without, BEGAN, bot).calls] == [1_000, 400]


def test_a_call_is_of_the_day_of_its_question_and_an_answer_made_anew_of_its_own() -> None:
    day = 24 * 60 * MINUTE
    start = BEGAN.timestamp() * 1000
    nodes = SYSTEM | {
        "q": question() | {"create_time": start - 1},
        "a1": answer("q") | {"create_time": start + 1},
        "a2": answer("q") | {"create_time": start + day},
    }
    assert [call.time.date().isoformat() for call in replay(nodes, BEGAN).calls] == ["2025-11-30", "2025-12-02"]


@pytest.mark.parametrize("time", [None, "1764547200000", True, -1, 1e300, float("inf")], ids=repr)
def test_a_node_without_a_readable_time_has_the_conversations(time: Any) -> None:
    nodes = SYSTEM | {"q": question() | {"create_time": time}, "a": answer("q") | {"create_time": time}}
    assert [call.time for call in replay(nodes, BEGAN).calls] == [BEGAN]


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("claude-v4.7-opus", ["hidden_reasoning"]),
        ("mistral-large-2", ["application_price_differs"]),
        ("claude-v4.6-opus", []),
    ],
)
def test_what_cannot_be_known_has_a_word(model: str, reasons: list[str]) -> None:
    assert replay(SYSTEM | {"q": question(), "a": answer("q", model=model)}, BEGAN).reasons == reasons


def test_the_application_keeps_a_price_that_changed() -> None:
    nodes = SYSTEM | {"q": question(), "a": answer("q", model="claude-v3.5-sonnet")}
    before = datetime(2025, 11, 30, 23, 59, tzinfo=UTC)
    assert [replay(nodes, began).reasons for began in (before, BEGAN)] == [[], ["application_price_differs"]]


def test_thinking_of_claude_4_is_a_summary_of_what_was_billed() -> None:
    for model, reasons in (("claude-v4.5-sonnet", ["shortened_reasoning"]), ("claude-v3.7-sonnet", [])):
        nodes = SYSTEM | {"q": question(), "a": answer("q", reasoning(50), model=model)}
        assert replay(nodes, BEGAN).reasons == reasons


# --- against the genuine calls of older versions

# The part of these versions' prompts that no map holds is not quite that of the newest.
OLD_CITING_PROMPT = 1_214 / 4


# The replies of these stubs are longer than a model's.
UNLIMITED = Bot(max_tokens=1_000_000)
# Of these the truth is the stubs' own guess: a file's bytes / 4, 1,500 tokens an image, thinking that stays.
GUESSED = {
    "01M7Y2051HT2RP2P2P5DM4W6J7": "thinking",
    "01M7Y2054BZW1FGVPBACZRFHRQ": "an image",
    "01M7Y2059S9JKNYQF7CKP0M83E": "a document",
    "01M7Y205AKGNX4VP5EBNCK1BS9": "a document",
}


class Comparison(NamedTuple):
    """Estimated and true tokens of a conversation; `unstored` is the part of the truth that no map holds."""

    id: str
    calls: tuple[int, int]
    input: tuple[float, float]
    output: tuple[float, float]
    unstored: float

    @property
    def input_error(self) -> float:
        return self.input[0] / self.input[1] - 1

    @property
    def output_error(self) -> float:
        return self.output[0] / self.output[1] - 1


def comparisons() -> list[Comparison]:
    made = calls()
    return [
        _compared(conversation.id, billed(conversation.nodes, UNLIMITED), made[conversation.id])
        for conversation in conversations()
        if conversation.id in made
    ]


def _compared(id_: str, estimate: list[Usage], truth: list[dict[str, Any]]) -> Comparison:
    sent = sum((call["text_in_chars"] + call["tool_spec_chars"]) / 4 + call["media_tokens"] for call in truth)
    return Comparison(
        id_,
        (sum(usage.calls for usage in estimate), len(truth)),
        (sum(usage.input for usage in estimate), sent),
        (sum(usage.output for usage in estimate), sum(call["out_chars"] / 4 for call in truth)),
        sum(call["tool_spec_chars"] / 4 + OLD_CITING_PROMPT for call in truth if call["tool_spec_chars"]),
    )


def table(found: list[Comparison]) -> str:
    rows = [
        f"{talk.id}  {talk.calls[1]:5}  {talk.input[0]:9,} {talk.input[1]:12,.2f} {talk.input_error:8.2%}"
        f"  {talk.output[0]:7,} {talk.output[1]:10,.2f} {talk.output_error:8.2%}  {talk.unstored:10,.1f}"
        for talk in found
    ]
    head = (
        f"{'conversation':26}  calls  {'input':>9} {'truly':>12} {'error':>8}  {'output':>7} {'truly':>10} {'error':>8}"
    )
    return "\n".join([f"{head}  {'unstored':>10}", *rows])


def test_the_estimate_is_near_what_each_genuine_conversation_sent() -> None:
    found = comparisons()
    print(table(found))  # seen with pytest -s
    stored = [talk for talk in found if not talk.unstored and talk.id not in GUESSED]
    assert (len(found), len(stored)) == (21, 14)
    assert [talk.calls[0] for talk in found] == [talk.calls[1] for talk in found]
    assert statistics.median(abs(talk.input_error) for talk in stored) < 0.003
    assert statistics.median(abs(talk.output_error) for talk in found) < 0.01
    total = [sum(talk.input[side] for talk in stored) for side in (0, 1)]
    assert total[0] == pytest.approx(total[1], rel=0.001)
    # A text's last, incomplete token is not counted: that alone is the difference.
    texts = 3 * max(talk.calls[1] for talk in stored) ** 2
    assert all(0 <= talk.input[1] - talk.input[0] <= texts for talk in stored)


def test_what_an_estimate_lacks_is_the_prompts_and_tool_specifications_that_no_map_holds() -> None:
    lacking = [talk for talk in comparisons() if talk.unstored]
    assert len(lacking) == 3
    for talk in lacking:
        assert talk.input[0] + talk.unstored == pytest.approx(talk.input[1], rel=0.005)
