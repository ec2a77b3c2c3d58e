"""The workflows of the suite: which job runs when.

Each is a function of its environment. `deploy.model` validates it as it is built, `deploy.api` turns it into
Glue's own requests and `deploy.local` runs it on a laptop: what is rehearsed is what is deployed.
"""

from collections.abc import Callable, Mapping

from deploy.environments import Environment
from deploy.model import (
    Action,
    Condition,
    Crawler,
    EventBatchingCondition,
    Job,
    Predicate,
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
    "Trigger",
    "Workflow",
    "WorkflowError",
    "conversations",
    "tokens",
    "tokens_archival",
]


def _start(env: Environment, name: str, *actions: Action) -> Trigger:
    """The start trigger: on the environment's schedule, or on demand where it has none."""
    if env.schedule is None:
        return Trigger(name=name, type="ON_DEMAND", actions=actions)
    return Trigger(name=name, type="SCHEDULED", schedule=env.schedule, actions=actions)


def _after(name: str, job: Job, action: Action) -> Trigger:
    """A trigger for one action once one job has succeeded."""
    predicate = Predicate(conditions=(Condition(job_name=job.name, state="SUCCEEDED"),))
    return Trigger(name=name, type="CONDITIONAL", predicate=predicate, actions=(action,))


def _job(env: Environment, name: str, module: str, component: str, description: str) -> Job:
    """A job with the size, the arguments and the tags that the environment gives it."""
    return Job(
        name=env.resource(name),
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


def conversations(env: Environment) -> Workflow:
    """The chatbot's conversations: export → CSV of users (ETL-1) → Parquet (ETL-2) → catalog table `data`."""
    normalize = _job(
        env,
        "etl1-normalize",
        "conversations_normalize",
        "ETL-1",
        "ETL-1: DynamoDB export to one CSV row a user",
    )
    curate = _job(
        env,
        "etl2-parquet",
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
    return Workflow(
        name=env.resource("conversations"),
        description=(conversations.__doc__ or "").strip(),
        triggers=(
            _start(env, env.resource("conversations-start"), Action(job_name=normalize.name)),
            _after(env.resource("conversations-curate"), normalize, Action(job_name=curate.name)),
            _after(env.resource("conversations-crawl"), curate, Action(crawler_name=crawler.name)),
        ),
        jobs=(normalize, curate),
        crawlers=(crawler,),
        default_run_properties={"environment": env.name},
        tags=env.tags("ETL-1"),
    )


def tokens(env: Environment) -> Workflow:
    """The use of Bedrock: new table and archive → consolidated datasets and costs → Athena view."""
    consolidate = _job(
        env,
        "tokens-consolidated",
        "tokens_consolidate",
        "TOKENS-BEDROCK-ANALYSIS",
        "Counts and prices the new conversation table, and adds the archive of the old one",
    )
    view = _job(
        env,
        "tokens-view",
        "tokens_view",
        "TOKENS-BEDROCK-ANALYSIS",
        "Creates the view of token usage through Athena",
    )
    return Workflow(
        name=env.resource("tokens"),
        description=(tokens.__doc__ or "").strip(),
        triggers=(
            _start(env, env.resource("tokens-start"), Action(job_name=consolidate.name)),
            _after(env.resource("tokens-create-view"), consolidate, Action(job_name=view.name)),
        ),
        jobs=(consolidate, view),
        default_run_properties={"environment": env.name},
        tags=env.tags("TOKENS-BEDROCK-ANALYSIS"),
    )


def tokens_archival(env: Environment) -> Workflow:
    """The old Bedrock table, counted once: a person starts it, in every environment."""
    archive = _job(
        env,
        "tokens-archival",
        "tokens_archive",
        "TOKENS-BEDROCK-ANALYSIS",
        "Counts and prices the old conversation table, once",
    )
    start = Trigger(
        name=env.resource("tokens-archival-start"), type="ON_DEMAND", actions=(Action(job_name=archive.name),)
    )
    return Workflow(
        name=env.resource("tokens-archival"),
        description=(tokens_archival.__doc__ or "").strip(),
        triggers=(start,),
        jobs=(archive,),
        default_run_properties={"environment": env.name},
        tags=env.tags("TOKENS-BEDROCK-ANALYSIS"),
    )


WORKFLOWS: Mapping[str, Callable[[Environment], Workflow]] = {
    "conversations": conversations,
    "tokens-archival": tokens_archival,
    "tokens": tokens,
}
"""Every workflow of the suite by its short name."""
