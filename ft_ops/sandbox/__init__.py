"""A disposable PostgreSQL 16 and S3 for demos, tests and trying things out."""

from ft_ops.sandbox.moto_server import object_store
from ft_ops.sandbox.run import hold_sandbox, run_in_sandbox
from ft_ops.sandbox.servers import Sandbox, sandbox

__all__ = ["Sandbox", "hold_sandbox", "object_store", "run_in_sandbox", "sandbox"]
