"""How results reach the lake: one file in one step, quarantine beside it, a balance over both."""

from catlake.store.balance import Balance
from catlake.store.lake import Lake, Staged

__all__ = ["Balance", "Lake", "Staged"]
