"""tokens-archival: the old Bedrock table → `tokens_analysis_old_table.csv`, once (SPEC 3.2)."""

from catlake.bedrock.conversation_items import Conversations
from catlake.bedrock.counted_conversations import as_text, large_messages, priced, read_counted
from catlake.bedrock.length4_tokens import count_v1
from catlake.bedrock.statistics import statistics, write_statistics
from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.lake.publish import publish, quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.run import Run

PIPELINE = "tokens-archival"
DATASET = "tokens_analysis_old_table"


def archive(run: Run, lake: Lake) -> None:
    """The whole job: read and count, price, write, balance, publish."""
    count = Conversations(count_v1, run.arguments["first_date"], run.arguments["last_date"], large_messages(run))
    with run.step("read"):
        counted = read_counted(run, count)
    if counted.outcomes.quarantined:
        quarantine(run, lake, counted.rejected, PIPELINE)
    with run.step("write"):
        rows = priced(counted.kept, run.environment, "old_table").withColumn("create_date", as_text("create_date"))
        staged = lake.draft(rows, contract(DATASET), run.run_date)
        found = statistics(lake.read(staged.uri, contract(DATASET)))
    run.report.settle(
        Balance(counted.read, {DATASET: staged.rows}, counted.outcomes.filtered, counted.outcomes.quarantined)
    )
    publish(run, lake, staged)
    write_statistics(run, lake, contract(DATASET), found)
