"""Faults at every statement and every request, injected from outside.

A step runs in a child process that stops at its n-th statement or request (`probe`, `zygote`);
whoever started it (`runs`) then kills it, cuts its connection, restarts the server below it, or
runs a second one beside it. Production code holds no hook for any of this.
"""
