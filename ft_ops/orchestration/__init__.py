"""What all rooms share of Dagster: partitions, pools, resources, deadlines."""
