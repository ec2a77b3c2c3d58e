"""Ingest: change events of the purchases table, from a folder or from Kinesis → one JSON document an event."""

from catlake.purchases.ingest import TRIGGERS, ingest
from catlake.purchases.kinesis import stream_source
from catlake.runtime.arguments import Argument, choice, uri
from catlake.runtime.run import run_job

ARGUMENTS = (
    Argument("source_uri", stream_source),
    Argument("checkpoint_uri", uri),
    Argument("trigger", choice(*TRIGGERS), "available_now"),
)

if __name__ == "__main__":
    run_job(ingest, ARGUMENTS)
