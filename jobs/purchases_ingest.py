"""Ingest: change events of the purchases table, from a folder or from Kinesis → one JSON document an event."""

from catlake.job import run_job
from catlake.purchases.ingest import ingest
from catlake.purchases.kinesis import TRIGGERS, stream_source
from catlake.runtime.arguments import Argument, choice, uri

ARGUMENTS = (
    Argument("source_uri", stream_source),
    Argument("checkpoint_uri", uri),
    Argument("trigger", choice(*TRIGGERS), "available_now"),
)

if __name__ == "__main__":
    run_job(ingest, ARGUMENTS)
