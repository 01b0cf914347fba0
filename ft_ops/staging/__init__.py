"""A masked copy for developers: last night's backup as a dump without anybody's words.

`staging.mask_copy` restores, masks, dumps, looks through the dump's bytes, and hands it out.
`rules.load_rules` says what becomes of each column, and `rules.problems` which have no rule.
"""

from ft_ops.staging.staging import MaskedDump, dump_lines, into_bucket, into_file, mask_copy

__all__ = ["MaskedDump", "dump_lines", "into_bucket", "into_file", "mask_copy"]
