"""The event that starts a workflow, on this machine: a finished export in the folder where its first job looks."""

from pathlib import Path

from catlake.dynamodb.export_manifest import SUMMARY
from deploy.model import Arrival


def arrivals(arrival: Arrival, folder: Path) -> list[str]:
    """The keys of the exports whose arrival fires the trigger, the oldest first; `folder` is the event's folder on this
    machine.

    Exports that fire nothing on AWS are not among them: unfinished ones, and those in folders below.
    """
    keys = (f"{arrival.folder}/{path.relative_to(folder).as_posix()}" for path in folder.rglob(SUMMARY))
    # The name of an export begins with the time at which it began.
    return sorted(key for key in keys if arrival.matches(arrival.bucket, key))
