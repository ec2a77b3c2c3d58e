"""The workflows of the suite: which job runs when.

Each is a function of its environment. `deploy.model` validates it as it is built, `deploy.api` turns it into
Glue's own requests and `local.cli` runs it on a laptop: what is rehearsed is what is deployed.
"""

from collections.abc import Callable, Mapping

from deploy.environments import Environment
from deploy.model import (
    STREAMING,
    Action,
    Condition,
    Crawler,
    EventBatchingCondition,
    Job,
    Predicate,
    Table,
    Trigger,
    Workflow,
    WorkflowError,
)

__all__ = [
    "WORKFLOWS",
    "Action",
    "Condition",
    "Crawler",
    "EventBatchingCondition",
    "Job",
    "Predicate",
    "Table",
    "Trigger",
    "Workflow",
    "WorkflowError",
    "conversations",
    "purchases",
    "purchases_report",
    "tokens",
    "tokens_archival",
]

TOKENS = "TOKENS-BEDROCK-ANALYSIS"


def conversations(env: Environment) -> Workflow:
    """The chatbot's conversations: export → CSV of users (ETL-1) → Parquet (ETL-2) → catalog table `data`."""
    normalize = _batch(
        env,
        env.resource("etl1-normalize"),
        "conversations_normalize",
        "ETL-1",
        "ETL-1: DynamoDB export to one CSV row a user",
    )
    curate = _batch(
        env,
        env.resource("etl2-parquet"),
        "conversations_curate",
        "ETL-2",
        "ETL-2: normalized CSV to typed Parquet with token counts",
    )
    crawler = Crawler(
        name=env.resource("curated-crawler"),
        database=env.database,
        table="data",
        path="reports/etl-process2/data.parquet/",
        contract="curated_conversations",
        description="Brings the catalog table of the curated conversations up to date",
        tags=env.tags("ETL-2"),
    )
    return _workflow(
        env,
        env.resource("conversations"),
        "ETL-1",
        conversations.__doc__,
        _start(env, env.resource("conversations-start"), Action(job_name=normalize.name)),
        _after(env.resource("conversations-curate"), normalize, Action(job_name=curate.name)),
        _after(env.resource("conversations-crawl"), curate, Action(crawler_name=crawler.name)),
        jobs=(normalize, curate),
        crawlers=(crawler,),
    )


def tokens(env: Environment) -> Workflow:
    """The use of Bedrock: new table and archive → consolidated datasets and costs → Athena view."""
    consolidate = _batch(
        env,
        env.resource("tokens-consolidated"),
        "tokens_consolidate",
        TOKENS,
        "Counts and prices the new conversation table, and adds the archive of the old one",
    )
    view = _batch(
        env, env.resource("tokens-view"), "tokens_view", TOKENS, "Creates the view of token usage through Athena"
    )
    return _workflow(
        env,
        env.resource("tokens"),
        TOKENS,
        tokens.__doc__,
        _start(env, env.resource("tokens-start"), Action(job_name=consolidate.name)),
        _after(env.resource("tokens-create-view"), consolidate, Action(job_name=view.name)),
        jobs=(consolidate, view),
    )


def tokens_archival(env: Environment) -> Workflow:
    """The old Bedrock table, counted once: a person starts it, in every environment."""
    archive = _batch(
        env,
        env.resource("tokens-archival"),
        "tokens_archive",
        TOKENS,
        "Counts and prices the old conversation table, once",
    )
    return _by_hand(env, archive.name, TOKENS, tokens_archival.__doc__, archive)


def purchases(env: Environment) -> Workflow:
    """The purchases' change events → one document each → catalog table `compras_json`: started once, and goes on."""
    ingest = _stream(
        env,
        env.purchases_resource("ingest"),
        "purchases_ingest",
        "COMPRAS-INGEST",
        "Change events of the purchases table to one JSON document an event",
    )
    table = _purchases_table(env, "compras_json", ingest)
    return _by_hand(env, ingest.name, "COMPRAS-INGEST", purchases.__doc__, ingest, table)


def purchases_report(env: Environment) -> Workflow:
    """The purchases as they are now → page, and tables of purchases, days and products: a person starts it."""
    report = _batch(
        env,
        env.purchases_resource("report"),
        "purchases_report",
        "COMPRAS-REPORT",
        "Totals, best-selling products and daily trend of the purchases as they are now",
    )
    names = ("purchases_current", "purchases_daily", "purchases_products")
    tables = (_purchases_table(env, name, report) for name in names)
    return _by_hand(env, report.name, "COMPRAS-REPORT", purchases_report.__doc__, report, *tables)


WORKFLOWS: Mapping[str, Callable[[Environment], Workflow]] = {
    "conversations": conversations,
    "tokens-archival": tokens_archival,
    "tokens": tokens,
    "purchases": purchases,
    "purchases-report": purchases_report,
}
"""Every workflow of the suite by its short name."""


def _workflow(
    env: Environment,
    name: str,
    component: str,
    description: str | None,
    *triggers: Trigger,
    jobs: tuple[Job, ...],
    crawlers: tuple[Crawler, ...] = (),
    tables: tuple[Table, ...] = (),
) -> Workflow:
    """A workflow that tells its environment, with the tags of its first part."""
    return Workflow(
        name=name,
        description=(description or "").strip(),
        triggers=triggers,
        jobs=jobs,
        crawlers=crawlers,
        tables=tables,
        default_run_properties={"environment": env.name},
        tags=env.tags(component),
    )


def _by_hand(
    env: Environment, name: str, component: str, description: str | None, job: Job, *tables: Table
) -> Workflow:
    """A workflow of one job that a person starts."""
    start = Trigger(name=f"{name}-start", type="ON_DEMAND", actions=(Action(job_name=job.name),))
    return _workflow(env, name, component, description, start, jobs=(job,), tables=tables)


def _purchases_table(env: Environment, contract: str, job: Job) -> Table:
    """A table of the purchases' database, which a job keeps."""
    return Table(database=env.purchases_database, contract=contract, job_name=job.name, lake_uri=env.purchases_lake_uri)


def _start(env: Environment, name: str, *actions: Action) -> Trigger:
    """The start trigger: on the environment's schedule, or on demand where it has none."""
    if env.schedule is None:
        return Trigger(name=name, type="ON_DEMAND", actions=actions)
    return Trigger(name=name, type="SCHEDULED", schedule=env.schedule, actions=actions)


def _after(name: str, job: Job, action: Action) -> Trigger:
    """A trigger for one action once one job has succeeded."""
    predicate = Predicate(conditions=(Condition(job_name=job.name, state="SUCCEEDED"),))
    return Trigger(name=name, type="CONDITIONAL", predicate=predicate, actions=(action,))


def _batch(env: Environment, name: str, module: str, component: str, description: str) -> Job:
    """A batch job with the size, the arguments and the tags that the environment gives it."""
    return Job(
        name=name,
        script=f"jobs/{module}.py",
        arguments=env.arguments(module),
        description=description,
        glue_version=env.glue_version,
        worker_type=env.worker_type,
        number_of_workers=env.number_of_workers,
        execution_class=env.execution_class,
        timeout=env.timeout,
        tags=env.tags(component),
    )


def _stream(env: Environment, name: str, module: str, component: str, description: str) -> Job:
    """The same of a streaming job."""
    return Job(
        name=name,
        script=f"jobs/{module}.py",
        command=STREAMING,
        arguments=env.arguments(module),
        description=description,
        glue_version=env.glue_version,
        worker_type=env.stream_worker_type,
        number_of_workers=env.number_of_workers,
        timeout=None,
        maintenance_window=env.maintenance_window,
        max_retries=env.stream_retries,
        tags=env.tags(component),
    )
