"""Whatever may legally happen to the archive, in any order, against an oracle that knows little.

`life` performs steps that are plain tuples: what the application does (`application`), what the
operations do (`operations`), and what goes wrong meanwhile (`interruptions`). `oracle` holds, in a
few sets and dicts, which rows are alive, who may read them and which must be readable now.
`machine` lets hypothesis choose the steps, `test_found` keeps those that once lost something.
"""
