"""How results reach the lake: one file in one step, quarantine beside it, a balance over both, a record of each."""

from catlake.store.balance import Balance
from catlake.store.checksums import Record
from catlake.store.lake import Lake, Staged
from catlake.store.outcomes import Outcomes

__all__ = ["Balance", "Lake", "Outcomes", "Record", "Staged"]
