"""How results reach the lake: one file in one step, quarantine beside it, a balance over both."""

from catlake.store.balance import Balance
from catlake.store.lake import Lake, Staged
from catlake.store.outcomes import Outcomes

__all__ = ["Balance", "Lake", "Outcomes", "Staged"]
