"""The page for the morning, and the same figures for Prometheus."""

from ft_ops.overview.lines import Line, Picture, Status, page

__all__ = ["Line", "Picture", "Status", "page"]
