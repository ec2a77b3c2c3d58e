"""Ingest: change events of the purchases table, from a folder or from Kinesis → one JSON document an event."""

from catlake.job import run_job
from catlake.purchases.ingest import ingest
from catlake.purchases.kinesis import TRIGGERS, seconds, stream_source
from catlake.runtime.arguments import Argument, FromEnvironment, choice, uri

ARGUMENTS = (
    Argument("source_uri", stream_source),
    Argument("checkpoint_uri", uri),
    Argument("trigger", choice(*TRIGGERS), "available_now"),
    Argument("batch_seconds", seconds, FromEnvironment("stream_batch_seconds")),
)

if __name__ == "__main__":
    run_job(ingest, ARGUMENTS)
