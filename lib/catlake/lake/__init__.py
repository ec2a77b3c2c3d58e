"""How results reach the lake: one file in one step, a record of it, and rejected records in quarantine."""

from catlake.lake.file_records import Record
from catlake.lake.lake import Draft, Lake, SideFile
from catlake.lake.outcomes import Outcomes
from catlake.lake.tables import KeptTable, MergeCounts

__all__ = ["Draft", "KeptTable", "Lake", "MergeCounts", "Outcomes", "Record", "SideFile"]
