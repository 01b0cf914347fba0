"""The command's parts; `ft_ops.cli` puts them together. Each imports its room when it runs."""
