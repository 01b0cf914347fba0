"""The Dagster UI behind doors that only its own pages pass.

`doors` decides about one request, from what its headers say of the page that sent it; `serve`
puts it before Dagster's own web server, which asks nothing of the kind.
"""
