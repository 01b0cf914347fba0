"""The page for the morning, and the same figures for Prometheus."""

from ft_ops.overview.morning_page import Picture, page

__all__ = ["Picture", "page"]
