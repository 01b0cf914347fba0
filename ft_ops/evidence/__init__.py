"""Evidence for an auditor: what the operations did, chained by hash, signed, and verified offline.

`acts` reads the operations' rows of the audit log, `chain` adds them to the chain in the bucket,
`verify` examines a chain without database or network, and `page` tells what was done in a time.
"""

from ft_ops.evidence.acts import Act, acts_since
from ft_ops.evidence.chain import Chain, open_chain
from ft_ops.evidence.page import report, write_report
from ft_ops.evidence.signers import has_signer
from ft_ops.evidence.verify import CheckedChain, Head

__all__ = [
    "Act",
    "Chain",
    "CheckedChain",
    "Head",
    "acts_since",
    "has_signer",
    "open_chain",
    "report",
    "write_report",
]
