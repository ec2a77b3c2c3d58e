"""How results reach the lake: one file in one step, quarantine beside it, a balance over both, a record of each."""

from catlake.lake.balance import Balance
from catlake.lake.file_records import Record
from catlake.lake.lake import Lake, Staged
from catlake.lake.outcomes import Outcomes

__all__ = ["Balance", "Lake", "Outcomes", "Record", "Staged"]
