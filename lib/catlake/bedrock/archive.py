"""The job tokens-archival: the old Bedrock table → `tokens_analysis_old_table.csv`, once (docs/spec.md 3.2)."""

from catlake.bedrock.conversation_items import ConversationCounter
from catlake.bedrock.counted_conversations import large_messages, read_counted
from catlake.bedrock.length4_tokens import count_v1
from catlake.bedrock.statistics import publish_with_statistics, statistics, summed
from catlake.bedrock.token_datasets import as_text, at_flat_price
from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.publish import quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

PIPELINE = "tokens-archival"
DATASET = "tokens_analysis_old_table"


def archive(run: Run, lake: Lake) -> None:
    """Counts the conversations, prices them, and publishes the file with its statistics."""
    counter = ConversationCounter(
        count_v1, run.arguments["first_date"], run.arguments["last_date"], large_messages(run)
    )
    with run.step("read"):
        counted = read_counted(run, counter)
    if counted.outcomes.quarantined:
        quarantine(run, lake, counted.rejected, PIPELINE)
    with run.step("write"):
        rows = at_flat_price(counted.kept, run.environment, "old_table").withColumn(
            "create_date", as_text("create_date")
        )
        draft = lake.draft(rows, contract(DATASET), run.run_date, is_made=True)
        totals = statistics(summed(rows))
    run.report.settle(
        Balance(counted.read, {DATASET: draft.rows}, counted.outcomes.filtered, counted.outcomes.quarantined)
    )
    publish_with_statistics(run, lake, totals, draft)
