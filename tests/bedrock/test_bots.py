"""The bots of a bot table's export, whatever their items lack."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from catlake.bedrock.bots import Bots, read_bots
from catlake.bedrock.calls import Bot
from catlake.lake import Lake
from catlake.runtime.run import Run
from tests.jobs.running import run_of
from tests.samples.export_files import write_export

NULL = {"NULL": True}


def item(name: str, **attributes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"PK": {"S": "ana"}, "SK": {"S": f"BOT#{name}"}, "BotId": {"S": name}, **attributes}


def sources(**given: dict[str, Any]) -> dict[str, Any]:
    """The map of what a bot knows; its lists are empty."""
    empty: dict[str, Any] = {name: {"L": []} for name in ("source_urls", "sitemap_urls", "filenames", "s3_urls")}
    return {"M": empty | given}


def knowledge_base(**given: dict[str, Any]) -> dict[str, Any]:
    """The map of a bot's knowledge base; its ids are null."""
    return {"M": {"type": {"S": "dedicated"}, "knowledge_base_id": NULL, "exist_knowledge_base_id": NULL} | given}


def test_a_bot_has_the_applications_defaults_where_its_item_says_nothing(spark: SparkSession, tmp_path: Path) -> None:
    tool = {"M": {"name": {"S": "internet_search"}, "tool_type": {"S": "internet"}}}
    items = [
        item("bare"),
        item("nulls", PromptCachingEnabled=NULL, GenerationParams=NULL, AgentData=NULL, BedrockKnowledgeBase=NULL),
        item(
            "full",
            Title={"S": "Guía"},
            PromptCachingEnabled={"BOOL": False},
            GenerationParams={
                "M": {"max_tokens": {"N": "400"}, "reasoning_params": {"M": {"budget_tokens": {"N": "2000"}}}}
            },
            AgentData={"M": {"tools": {"L": [tool]}}},
            Knowledge=sources(),
            BedrockKnowledgeBase=knowledge_base(knowledge_base_id={"S": "KB1"}),
            DisplayRetrievedChunks={"BOOL": True},
        ),
        # The application's own page writes both maps for every bot.
        item("ignorant", Knowledge=sources(), BedrockKnowledgeBase=knowledge_base()),
        item("existing", BedrockKnowledgeBase=knowledge_base(exist_knowledge_base_id={"S": "KB2"})),
        item("files", Knowledge=sources(filenames={"L": [{"S": "guía.pdf"}]})),
        item("odd", GenerationParams={"M": {"max_tokens": {"S": "many"}}}),
        {"PK": {"S": "bob"}, "SK": {"S": "ALIAS#full"}, "OriginalBotId": {"S": "full"}},
        {"PK": {"S": "bob"}, "SK": {"S": "BOT#"}},
    ]
    write_export(tmp_path, items, export_time=datetime(2025, 11, 20, tzinfo=UTC), table_arn="arn:bots", files=1)
    found: list[Bots | None] = []

    def main(run: Run, lake: Lake) -> None:
        found.append(read_bots(run))

    run_of(spark, tmp_path / "lake", main, environment="local", bots_export_uri=str(tmp_path))
    run_of(spark, tmp_path / "lake", main, environment="local", bots_export_uri=None)
    bots, none = found
    assert none is None and bots is not None
    knowing = frozenset({"knowledge_base_tool"})
    silent = Bot(shows_sources=False)
    assert bots.settings == {
        "bare": silent,
        "nulls": silent,
        "full": Bot(False, 400, knowing | {"internet_search"}, True, 2_000),
        "ignorant": silent,
        "existing": silent._replace(tools=knowing),
        "files": silent._replace(tools=knowing),
    }
    rows = {row["bot_id"]: tuple(row)[1:] for row in bots.rows.collect()}
    assert rows == {
        "bare": (None, "ana", True, None),
        "nulls": (None, "ana", True, None),
        "full": ("Guía", "ana", False, 400),
        **dict.fromkeys(("ignorant", "existing", "files"), (None, "ana", True, None)),
    }
    assert bots.outcomes.counts == {"kept": 6, "quarantined": 1, "bot_alias": 1, "other": 1}
    (rejected,) = bots.rejected.collect()
    assert "GenerationParams" in rejected["reason"]
