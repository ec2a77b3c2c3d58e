"""Every job gives byte for byte what it gives on a folder, though one in some requests to S3 fails (docs/spec.md 5).

`CATLAKE_FAULTS=10` makes so many rounds, each with a seed of its own; the counts are printed, and are properties of
the test.
"""

import json
import os
from collections import Counter
from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from tests.bedrock.genuine import BEDROCK
from tests.fault_proxy import KINDS, FaultProxy, fault_proxy
from tests.jobs.running import CURATE, NORMALIZE, SAMPLE, RunScript
from tests.places import Bucket, Folder, Place, copy
from tests.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("CATLAKE_FAULTS", "1"))
SEED = int(os.environ.get("CATLAKE_FAULTS_SEED", "20251120"))
ONE_IN = 12
PURCHASES = SAMPLE.parent / "purchases"


def run_all(run: RunScript, place: Place) -> None:
    """Runs all jobs, one after the other, on a lake that has their inputs too."""
    root = place.root
    old, new = ({"export_uri": f"{root}/in/{table}"} for table in ("old_table", "new_table"))
    large = {"large_messages_uri": f"{root}/in/large_messages"}
    for script, given in (
        (NORMALIZE, {"environment": "prod", "export_uri": f"{root}/in/catia"}),
        (CURATE, {}),
        ("tokens_archive", {**old, **large}),
        ("tokens_consolidate", {**new, **large}),
        ("purchases_ingest", {"source_uri": f"{root}/in/purchases", "checkpoint_uri": f"{root}/checkpoint"}),
        ("purchases_report", {}),
    ):
        done = run(script, root, **given)
        assert done.code == 0, f"{script}: {done.stderr}"


def run_all_on_faulty_s3(spark: SparkSession, s3: S3Server, run: RunScript, place: Place, seed: int) -> FaultProxy:
    """Runs all jobs on a lake of S3 that has their inputs, while one in ONE_IN requests fails."""
    with fault_proxy(s3.endpoint, one_in=ONE_IN, seed=seed, stall_seconds=0.2) as proxy:
        proxy.server(s3).configure(spark)
        try:
            run_all(run, place)
        finally:
            s3.configure(spark)
    return proxy


def land(place: Place) -> None:
    """Puts the inputs of all jobs into a place."""
    copy(SAMPLE, place, "in/catia")
    for name in ("old_table", "new_table", "large_messages"):
        copy(BEDROCK / name, place, f"in/{name}")
    for file in sorted(PURCHASES.glob("events-*.jsonl")):
        place.put(f"in/purchases/{file.name}", file.read_bytes())


def results(place: Place) -> dict[str, bytes]:
    """All results by their path, but for kept-up tables, whose files have names by chance: results are made of them."""
    found = place.tree()
    tables = (name.partition("metadata/")[0] for name in found if name.endswith("/metadata/version-hint.text"))
    apart = ("in/", "runs/", "quarantine/", "_checksums/", "_lease/", "checkpoint/", *tables)
    return {name: content for name, content in found.items() if not name.startswith(apart)}


def quarantined(place: Place) -> Counter[tuple[str, str, str]]:
    """The records in quarantine by pipeline; which run and which task put them there is left to chance."""
    lines = (
        (name.split("/")[0], json.loads(line))
        for name, content in place.tree("quarantine").items()
        if name.endswith(".json")
        for line in content.decode().split("\n")[:-1]
    )
    return Counter(
        (pipeline, record["reason"].replace(place.root, ""), record.get("raw", "")) for pipeline, record in lines
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_all_jobs_give_the_same_bytes_though_requests_fail(
    spark: SparkSession,
    s3: S3Server,
    run: RunScript,
    undisturbed: Folder,
    number: int,
    record_property: Callable[[str, object], None],
) -> None:
    if not undisturbed.names():
        land(undisturbed)
        run_all(run, undisturbed)
    place = Bucket(s3)
    land(place)
    proxy = run_all_on_faulty_s3(spark, s3, run, place, SEED + number)
    report(proxy, record_property)
    assert results(place) == results(undisturbed)
    assert quarantined(place) == quarantined(undisturbed)
    assert place.names("_staging") == []
    # With fewer the test would show nothing.
    assert len(proxy.faults) == len(KINDS) and sum(proxy.faults.values()) > 30


def report(proxy: FaultProxy, record_property: Callable[[str, object], None]) -> None:
    record_property("requests", proxy.requests)
    record_property("faults", dict(proxy.faults))
    print(json.dumps({"requests": proxy.requests, "faults": proxy.faults}))
