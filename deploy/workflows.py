"""The workflows of the suite: which job runs when, and what it may touch.

Each is a function of its environment. deploy/stacks deploys it and local/ runs it on a laptop: what is rehearsed is
what is deployed.
"""

from collections.abc import Callable, Mapping
from itertools import chain

from catlake.bedrock.statistics import statistics_path
from catlake.contracts.contract import contract
from catlake.lake.file_records import RECORDS
from catlake.lake.lake import QUARANTINE, RUNS
from catlake.lake.lease import LEASES
from catlake.lake.staging import STAGING
from catlake.pages import FOLDER as PAGES_FOLDER
from catlake.privacy.places import ERASURES, datasets_of_persons
from catlake.purchases.new_documents import FOLDER as NEW_DOCUMENTS
from catlake.runtime.environment import Environment
from deploy.cron import every_minutes
from deploy.model import Access, Arrival, Crawler, Job, Trigger, Workflow

SOURCES: Mapping[str, str] = {"conversations_normalize": "catia_table", "tokens_consolidate": "bedrock_table"}
"""By job module, the key that names the table whose exports it reads again and again."""

PAGES = "PAGES"
MAINTENANCE = "TABLES-MAINTENANCE"
TOKENS = "TOKENS-BEDROCK-ANALYSIS"

_SPREADSHEETS = f"{contract('normalized_conversations').root}/data_*.xlsx"
"""The CSV files of the conversations as spreadsheets."""


def conversations(env: Environment) -> Workflow:
    """The chatbot's conversations: export → CSV of users (ETL-1) → Parquet of the catalog table `data` (ETL-2)."""
    normalize = _batch(
        env,
        env.resource("etl1-normalize"),
        "conversations_normalize",
        "ETL-1",
        "ETL-1: DynamoDB exports to one CSV row a user",
        Access(
            keeps=("catia_items",),
            writes=("normalized_conversations",),
            # An erasure publishes both together; where it is killed, the next run of this job finishes it.
            files=(_SPREADSHEETS,),
            quarantine="conversations",
        ),
    )
    curate = _batch(
        env,
        env.resource("etl2-parquet"),
        "conversations_curate",
        "ETL-2",
        "ETL-2: normalized CSV to typed Parquet with token counts",
        Access(
            reads=("normalized_conversations",),
            writes=("curated_conversations",),
            files=(_SPREADSHEETS,),
            quarantine="conversations",
        ),
    )
    crawler = Crawler(
        name=env.resource("curated-crawler"),
        database=env.database,
        contract="curated_conversations",
        description="Brings the catalog table of the curated conversations up to date",
        tags=env.tags("ETL-2"),
    )
    page = _page(
        env, "conversations-pages", env.lake_uri, "conversations", "normalized_conversations", "curated_conversations"
    )
    crawl = Trigger(name=env.resource("conversations-crawl"), after=(curate.name,), starts=(crawler.name,))
    return _workflow(
        env,
        env.resource("conversations"),
        "ETL-1",
        conversations.__doc__,
        _start(env, "conversations-start", normalize),
        Trigger(name=env.resource("conversations-curate"), after=(normalize.name,), starts=(curate.name,)),
        Trigger(name=page.name, after=(curate.name,), starts=(page.name,)),
        *((crawl,) if env.crawler else ()),
        jobs=(normalize, curate, page),
        crawlers=(crawler,) if env.crawler else (),
    )


def tokens(env: Environment) -> Workflow:
    """The use of Bedrock: new table and archive → consolidated datasets and costs → Athena view."""
    consolidate = _batch(
        env,
        env.resource("tokens-consolidated"),
        "tokens_consolidate",
        TOKENS,
        "Counts and prices the new conversation table, and adds the archive of the old one",
        Access(
            reads=("tokens_analysis_old_table",),
            keeps=("bedrock_items",),
            writes=(
                "tokens_analysis_consolidated",
                "tokens_table_consolidated",
                "tokens_daily",
                "tokens_analysis",
                "token_usage",
                "token_reconciliation",
                "application_costs",
                "bots",
            ),
            files=(_statistics("tokens_analysis_consolidated"),),
            quarantine="tokens",
        ),
    )
    view = _batch(
        env,
        env.resource("tokens-view"),
        "tokens_view",
        TOKENS,
        "Creates the view of token usage through Athena",
        Access(athena=True),
    )
    datasets = ("token_usage", "token_reconciliation", "application_costs", "bots")
    page = _page(env, "tokens-pages", env.lake_uri, "costs", *datasets)
    return _workflow(
        env,
        env.resource("tokens"),
        TOKENS,
        tokens.__doc__,
        _start(env, "tokens-start", consolidate),
        Trigger(name=env.resource("tokens-create-view"), after=(consolidate.name,), starts=(view.name,)),
        Trigger(name=page.name, after=(consolidate.name,), starts=(page.name,)),
        jobs=(consolidate, view, page),
    )


def tokens_archival(env: Environment) -> Workflow:
    """The old Bedrock table, counted once: a person starts it, in every environment."""
    archive = _batch(
        env,
        env.resource("tokens-archival"),
        "tokens_archive",
        TOKENS,
        "Counts and prices the old conversation table, once",
        Access(
            writes=("tokens_analysis_old_table",),
            files=(_statistics("tokens_analysis_old_table"),),
            quarantine="tokens-archival",
        ),
    )
    return _single_job(env, TOKENS, tokens_archival.__doc__, archive)


def purchases(env: Environment) -> Workflow:
    """The purchases' change events → one document each → catalog table `compras_json`."""
    every = env.purchases_every_minutes
    arguments = env.arguments("purchases_ingest")
    if every:
        arguments["--trigger"] = "available_now"
    ingest = Job(
        name=env.purchases_resource("ingest"),
        script="jobs/purchases_ingest.py",
        access=Access(
            writes=("compras_json",),
            files=(f"{NEW_DOCUMENTS}/*",),
            quarantine="purchases",
            owns=("--checkpoint_uri",),
            partitions=True,
        ),
        arguments=arguments,
        description="Change events of the purchases table to one JSON document an event",
        streaming=True,
        glue_version=env.glue_version,
        worker_type=env.stream_worker_type,
        number_of_workers=env.number_of_workers,
        # A run that fails comes again with the next one.
        timeout=env.timeout if every else None,
        maintenance_window=None if every else env.maintenance_window,
        max_retries=0 if every else env.stream_retries,
        tags=env.tags("COMPRAS-INGEST"),
    )
    schedule = every_minutes(every) if every else None
    return _single_job(env, "COMPRAS-INGEST", purchases.__doc__, ingest, schedule)


def purchases_report(env: Environment) -> Workflow:
    """The purchases as they are now → page, and tables of purchases, days and products: a person starts it."""
    reports = contract("purchases_daily").root
    report = _batch(
        env,
        env.purchases_resource("report"),
        "purchases_report",
        "COMPRAS-REPORT",
        "Totals, best-selling products and daily trend of the purchases as they are now",
        Access(
            reads=("compras_json",),
            writes=("purchases_current", "purchases_products", "purchases_daily"),
            keeps=("compras_current",),
            consumes=(NEW_DOCUMENTS,),
            files=tuple(f"{reports}/*report.{kind}" for kind in ("json", "html")),
            quarantine="purchases-report",
        ),
    )
    page = _page(env, "purchases-pages", env.purchases_lake_uri, "purchases", "purchases_daily", "purchases_products")
    return _workflow(
        env,
        report.name,
        "COMPRAS-REPORT",
        purchases_report.__doc__,
        _start_alone(report),
        Trigger(name=page.name, after=(report.name,), starts=(page.name,)),
        jobs=(report, page),
    )


def purchases_backfill(env: Environment) -> Workflow:
    """All stored documents of purchases → partitions of `compras_json`, `compras_current` anew: a person starts it."""
    backfill = _batch(
        env,
        env.purchases_resource("backfill"),
        "purchases_backfill",
        "COMPRAS-REPORT",
        "Registers the partitions of all stored purchases, and makes the table of current purchases anew",
        Access(
            reads=("compras_json",),
            keeps=("compras_current",),
            consumes=(NEW_DOCUMENTS,),
            quarantine="purchases-backfill",
            partitions=True,
        ),
    )
    return _single_job(env, "COMPRAS-REPORT", purchases_backfill.__doc__, backfill)


def privacy_erase(env: Environment) -> Workflow:
    """A person → erased from both lakes: a person starts the jobs with an id; the workflow only looks for nobody."""
    jobs = []
    for name, lake_uri, database, domains, others in (
        (
            env.resource("privacy-erase"),
            env.lake_uri,
            env.database,
            ("conversations", "tokens"),
            (PAGES_FOLDER,),
        ),
        (
            env.purchases_resource("privacy-erase"),
            env.purchases_lake_uri,
            env.purchases_database,
            ("purchases",),
            (NEW_DOCUMENTS,),
        ),
    ):
        datasets = datasets_of_persons(domains)
        roots = dict.fromkeys(dataset.root for dataset in datasets if not dataset.is_kept_up)
        job = _batch(
            env,
            name,
            "privacy_erase",
            "PRIVACY",
            "Erases a person from the datasets, tables, pages, rejected records and summaries of a lake",
            Access(
                keeps=tuple(dataset.name for dataset in datasets if dataset.is_kept_up),
                erases=(*roots, *others, QUARANTINE, RUNS, RECORDS, LEASES, STAGING, ERASURES),
            ),
            {"--lake_uri": lake_uri, "--database": database, "--domains": ",".join(domains)},
        )
        jobs.append(job)
    name = env.resource("privacy-erase")
    start = Trigger(name=f"{name}-start", starts=tuple(job.name for job in jobs))
    return _workflow(env, name, "PRIVACY", privacy_erase.__doc__, start, jobs=tuple(jobs))


def tables_maintenance(env: Environment) -> Workflow:
    """The tables that the other workflows keep up → larger files, no old commits: once a week."""
    others = (build(env) for build in WORKFLOWS.values() if build is not tables_maintenance)
    keepers = [job for workflow in others for job in workflow.jobs if job.access.keeps]
    jobs = []
    for name, lake_uri, database in (
        (env.resource("tables-maintain"), env.lake_uri, env.database),
        (env.purchases_resource("tables-maintain"), env.purchases_lake_uri, env.purchases_database),
    ):
        own = (job.access.keeps for job in keepers if job.arguments["--lake_uri"] == lake_uri)
        if kept := tuple(dict.fromkeys(chain.from_iterable(own))):
            job = _batch(
                env,
                name,
                "tables_maintain",
                MAINTENANCE,
                "Compacts the tables that jobs keep up, and removes what no commit needs",
                Access(keeps=kept),
                {"--lake_uri": lake_uri, "--database": database, "--tables": ",".join(kept)},
            )
            jobs.append(job)
    start = Trigger(
        name=env.resource("tables-maintenance-start"),
        starts=tuple(job.name for job in jobs),
        schedule=env.maintenance_schedule,
    )
    name = env.resource("tables-maintenance")
    return _workflow(env, name, MAINTENANCE, tables_maintenance.__doc__, start, jobs=tuple(jobs))


WORKFLOWS: Mapping[str, Callable[[Environment], Workflow]] = {
    "conversations": conversations,
    "tokens-archival": tokens_archival,
    "tokens": tokens,
    "purchases": purchases,
    "purchases-backfill": purchases_backfill,
    "purchases-report": purchases_report,
    "privacy-erase": privacy_erase,
    # Last: a table is that of the job that keeps it up.
    "tables-maintenance": tables_maintenance,
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
) -> Workflow:
    """A workflow with its environment as a run property, and the tags of its first part."""
    return Workflow(
        name=name,
        description=description or "",
        triggers=triggers,
        jobs=jobs,
        crawlers=crawlers,
        default_run_properties={"environment": env.name},
        tags=env.tags(component),
    )


def _page(env: Environment, name: str, lake_uri: str, page: str, *datasets: str) -> Job:
    """The job that makes a page of the datasets of a lake, and the index of all pages, which are in one folder."""
    return _batch(
        env,
        env.resource(name),
        "pages_write",
        PAGES,
        f"The page of the {page}, and the index of all pages",
        Access(reads=datasets, summaries=True, owns=("--pages_uri",)),
        {"--lake_uri": lake_uri, "--page": page, "--pages_uri": f"{env.lake_uri}/{PAGES_FOLDER}"},
    )


def _statistics(name: str) -> str:
    return statistics_path(contract(name).path_template)


def _start(env: Environment, name: str, job: Job) -> Trigger:
    """The start of a workflow that reads exports: their arrival, or the clock where others make them.

    Without a table that is exported, a person starts it.
    """
    event = Arrival(bucket=env.bucket, folder=export_folder(env, job)) if getattr(env, SOURCES[job.module]) else None
    ours = env.exported_by == "catlake"
    return Trigger(
        name=env.resource(name),
        starts=(job.name,),
        schedule=None if ours else env.schedule,
        event=event if ours else None,
    )


def export_folder(env: Environment, job: Job) -> str:
    """The folder of the lake in which a job looks for exports."""
    return job.arguments["--export_uri"].removeprefix(f"{env.lake_uri}/").rstrip("/")


def _single_job(
    env: Environment, component: str, description: str | None, job: Job, schedule: str | None = None
) -> Workflow:
    """A workflow of one job, which a person starts where there is no schedule."""
    return _workflow(env, job.name, component, description, _start_alone(job, schedule), jobs=(job,))


def _start_alone(job: Job, schedule: str | None = None) -> Trigger:
    """The start of the workflow that has the name of its first job."""
    return Trigger(name=f"{job.name}-start", starts=(job.name,), schedule=schedule)


def _batch(
    env: Environment,
    name: str,
    module: str,
    component: str,
    description: str,
    access: Access,
    given: Mapping[str, str] | None = None,
) -> Job:
    """A batch job of the environment's size, with arguments besides those of its file.

    One that reads the exports of each night refuses one of the night before.
    """
    arguments = {**env.arguments(module), **(given or {})}
    if module in SOURCES and env.nightly:
        arguments["--max_export_age_hours"] = str(env.max_export_age_hours)
    return Job(
        name=name,
        script=f"jobs/{module}.py",
        access=access,
        arguments=arguments,
        description=description,
        glue_version=env.glue_version,
        worker_type=env.worker_type,
        number_of_workers=env.number_of_workers,
        execution_class=env.execution_class,
        job_run_queuing=env.job_run_queuing,
        auto_scaling=env.auto_scaling,
        timeout=env.timeout,
        tags=env.tags(component),
    )
