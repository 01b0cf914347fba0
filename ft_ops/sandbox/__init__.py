"""A disposable PostgreSQL 16 and S3 for demos, tests and trying things out."""

from ft_ops.sandbox.memory import use_memory
from ft_ops.sandbox.run import hold_sandbox, run_in_sandbox
from ft_ops.sandbox.servers import Sandbox, sandbox
from ft_ops.sandbox.stores.moto_server import object_store
from ft_ops.sandbox.ui import refuse_a_used_port

__all__ = [
    "Sandbox",
    "hold_sandbox",
    "object_store",
    "refuse_a_used_port",
    "run_in_sandbox",
    "sandbox",
    "use_memory",
]
