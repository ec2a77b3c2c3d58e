"""privacy_erase: removes a person from a lake (docs/privacy.md).

The contracts show where persons are, by the tags of their columns: a new dataset is covered by its contract alone.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby

from catlake.contracts.contract import Contract
from catlake.lake import Lake
from catlake.lake.lake import QUARANTINE
from catlake.pages import FOLDER as PAGES
from catlake.privacy.documents import Documents
from catlake.privacy.person import Person
from catlake.privacy.person_tables import TableOfPersons
from catlake.privacy.places import ERASURES, Place, Tally, Trace, datasets_of_persons
from catlake.privacy.published_files import PublishedSet, Spreadsheets
from catlake.privacy.records_of_runs import Rejects, RunSummaries
from catlake.report_pages import is_empty, is_page_there, pages_folder, remove_pages
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run

PAGES_OF_PERSONS = {"conversations": "conversations", "costs": "tokens"}
"""By page, the domain of the persons on it. The page of the purchases names none."""

OUT_OF_REACH = (
    "the source tables: erase the person there first, or the next export or event brings the person back",
    "exports of DynamoDB, and files of events that wait to be read: a table or a past day that is made anew from an "
    "export older than the erasure in the source has the person again",
    "large messages of the chat application",
    "replaced versions of S3 objects, until their lifecycle rule deletes them",
    "drafts of killed runs in _staging, until the next run of their job",
    "pages that a run wrote elsewhere (--pages_uri)",
    "logs and metrics in CloudWatch, and the arguments of this run in Glue's history",
    "results of Athena's queries",
    "what others have written about the person",
)
"""What the job does not reach."""


def erase(run: Run, lake: Lake) -> None:
    """The whole job: looks for a person in the lake, and without `--dry_run` erases the person.

    Raises:
        StoreError: There is no lake; or at the end the person is in it again, because another run wrote meanwhile.
    """
    person, domains, is_dry = (run.arguments[name] for name in ("user_id", "domains", "dry_run"))
    folders = (each.table_folder if each.is_kept_up else each.root for each in datasets_of_persons(domains))
    lake.refuse_empty([QUARANTINE, *folders])
    places = places_of(run, lake, person, domains)
    if not is_dry:
        # The next run would publish it after this one.
        lake.finish_begun_of_all()
    with run.step("look"):
        traces = _look(places)
        # A page shows names, not ids: it is removed if its datasets have the person.
        folder = pages_folder(run, lake.path(PAGES))
        pages = _pages(folder, domains) if traces else []
    traces += [Trace("pages", len(pages), len(pages))] if pages else []
    _report(run, traces, "would go" if is_dry else "go")
    tally = Tally(run)
    if is_dry or not traces:
        return
    # Written before anything is erased: a run that fails has a record too.
    _record(run, lake, traces, left=None)
    with run.step("erase"):
        # Removed first: after a kill, the datasets still have the person, and the next run comes here again.
        _remove_pages(run, folder, domains)
        for place in places:
            place.erase(tally)
        # Removed again: another run may have made pages of the old datasets meanwhile. From now on no run can publish
        # such a page, because its datasets have been replaced.
        _remove_pages(run, folder, domains)
    with run.step("look again"):
        left = _look(places)
    uri = _record(run, lake, traces, left)
    run.log("erased", record=uri)
    run.report.highlights.append(f"record → {uri}")
    if left:
        names = ", ".join(trace.place for trace in left)
        raise StoreError(
            f"{lake.uri}: the person is still or again in {names}, because another run writes there or was killed; run "
            "this job again when no other job runs; files of killed runs go with the maintenance of the tables"
        )


def places_of(run: Run, lake: Lake, person: Person, domains: Sequence[str]) -> list[Place]:
    """The places of a lake that can have a person, in the order in which they are rewritten."""
    datasets = datasets_of_persons(domains)
    in_files = sorted((d for d in datasets if d.format in ("csv", "parquet")), key=_published_with)
    tables = [lake.table(dataset, run.arguments["database"]) for dataset in datasets if dataset.is_kept_up]
    return [
        *(TableOfPersons(run, lake, person, table) for table in tables),
        *(PublishedSet(run, lake, person, list(together)) for _, together in groupby(in_files, _published_with)),
        Spreadsheets(lake, person, in_files),
        *(Documents(run, lake, person, dataset) for dataset in datasets if dataset.format == "json"),
        Rejects(lake, person, domains),
        RunSummaries(lake, person),
    ]


def _published_with(dataset: Contract) -> str:
    return dataset.published_with


def _look(places: Sequence[Place]) -> list[Trace]:
    return [trace for place in places for trace in place.look()]


def _pages(folder: Lake, domains: Sequence[str]) -> list[str]:
    return [page for page in _with_persons(domains) if is_page_there(folder, page)]


def _remove_pages(run: Run, folder: Lake, domains: Sequence[str]) -> None:
    """Removes the pages, also those that another run is publishing, or has begun to publish before it was killed."""
    if (pages := _with_persons(domains)) and not is_empty(folder):
        remove_pages(run, folder, pages)


def _with_persons(domains: Sequence[str]) -> list[str]:
    return [page for page, domain in PAGES_OF_PERSONS.items() if domain in domains]


def _report(run: Run, traces: Sequence[Trace], what: str) -> None:
    for trace in traces:
        run.log("person_found", **asdict(trace))
        run.report.highlights.append(f"{trace.place}: {trace.rows} rows in {trace.files} files {what}")
    if not traces:
        run.report.highlights.append("the person is nowhere in the lake: nothing is changed")
        if run.arguments["user_id"].has_outer_blanks:
            run.report.highlights.append("the given id begins or ends with a blank: give it without, if it was copied")
    run.report.highlights += ["not reached:", *(f"  {place}" for place in OUT_OF_REACH)]


def _record(run: Run, lake: Lake, traces: Sequence[Trace], left: Sequence[Trace] | None) -> str:
    """Writes down what the run erases, and not of whom; without `left`, that it has begun. Returns the record's URI."""
    record = {
        "job": run.job,
        "run": run.id,
        "begun_at": run.report.started.isoformat(timespec="seconds"),
        "ended_at": None if left is None else datetime.now(UTC).isoformat(timespec="seconds"),
        "domains": run.arguments["domains"],
        "found": [asdict(trace) for trace in traces],
        "left": None if left is None else [asdict(trace) for trace in left],
        "not_reached": OUT_OF_REACH,
    }
    return lake.write_json(f"{ERASURES}/{run.id}.json", record)
