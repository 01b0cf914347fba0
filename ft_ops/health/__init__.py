"""Health: latency, capacity and connections, measured and kept over time."""

from ft_ops.health.capacity.disk import NEARLY_FULL, Outlook, outlook, volume_size
from ft_ops.health.capacity.forecast import Forecast, forecast
from ft_ops.health.capacity.pictures import capacity_picture, sparkline
from ft_ops.health.capacity.sizes import (
    MonthGrowth,
    Sizes,
    beyond_projection,
    measure_sizes,
)
from ft_ops.health.connections.sessions import Connections, look_at_connections
from ft_ops.health.latency.measure import Latencies, Percentiles, measure_latency, sample_parameters
from ft_ops.health.latency.plans import QueryPlan, explain
from ft_ops.health.latency.queries import PRODUCT_QUERIES, Parameters, Screen, screens
from ft_ops.health.latency.targets import ScreenResult, SlowQuery, judge
from ft_ops.health.samples import (
    Sample,
    TimedSample,
    current_samples,
    forget_samples,
    series,
    write_samples,
)
from ft_ops.health.status import standings

__all__ = [
    "NEARLY_FULL",
    "PRODUCT_QUERIES",
    "Connections",
    "Forecast",
    "Latencies",
    "MonthGrowth",
    "Outlook",
    "Parameters",
    "Percentiles",
    "QueryPlan",
    "Sample",
    "Screen",
    "ScreenResult",
    "Sizes",
    "SlowQuery",
    "TimedSample",
    "beyond_projection",
    "capacity_picture",
    "current_samples",
    "explain",
    "forecast",
    "forget_samples",
    "judge",
    "look_at_connections",
    "measure_latency",
    "measure_sizes",
    "outlook",
    "sample_parameters",
    "screens",
    "series",
    "sparkline",
    "standings",
    "volume_size",
    "write_samples",
]
