"""Leads from every job, asset and check to its section of docs/runbook.md, in its description.

The runbook has a section for each job and each check. An asset's is that of the job that makes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import dagster as dg

from ft_ops.orchestration.internals import UnresolvedAssetJobDefinition
from ft_ops.settings import Settings, runbook_link

Jobs = Mapping[str, Collection[dg.AssetKey]]
"""The assets that each job materializes."""


def job_of_asset(key: dg.AssetKey, jobs: Jobs) -> str | None:
    """The job that makes an asset; of several, the one that makes the fewest besides."""
    makers = [(len(assets), job) for job, assets in jobs.items() if key in assets]
    return min(makers)[1] if makers else None


def with_runbook_links(definitions: dg.Definitions, settings: Settings) -> dg.Definitions:
    """The same definitions; each description ends with where to read what to do."""
    assets = [item for item in definitions.assets or () if isinstance(item, dg.AssetsDefinition)]
    checks = list(definitions.asset_checks or ())
    jobs = {
        job.name: frozenset(job.selection.resolve([*assets, *checks]))
        for job in definitions.jobs or ()
        if isinstance(job, UnresolvedAssetJobDefinition)
    }
    return dg.Definitions(
        assets=[_linked(asset, jobs, settings) for asset in assets],
        asset_checks=[_linked(check, jobs, settings).coerce_to_checks_def() for check in checks],
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        jobs=definitions.jobs,
        resources=definitions.resources,
        executor=definitions.executor,
        loggers=definitions.loggers,
    )


def _linked(definition: dg.AssetsDefinition, jobs: Jobs, settings: Settings) -> dg.AssetsDefinition:
    def with_link(spec: dg.AssetSpec) -> dg.AssetSpec:
        section = job_of_asset(spec.key, jobs)
        if section is None:
            return spec
        return spec.replace_attributes(description=described(spec.description, section, settings))

    checks = {
        output: spec._replace(description=described(spec.description, spec.name, settings))
        for output, spec in definition.node_check_specs_by_output_name.items()
    }
    # Dagster maps the specs of assets, and has nothing of the kind for those of checks.
    return definition.__class__.dagster_internal_init(
        **{
            **definition.get_attributes_dict(),
            "specs": [with_link(spec) for spec in definition.specs],
            "check_specs_by_output_name": checks,
        }
    )


def described(description: str | None, section: str, settings: Settings) -> str:
    """A description that ends with where to read what to do."""
    link = runbook_link(settings, section)
    shown = f"[{section}]({link})" if link.startswith("http") else f"`{link}`"
    return f"{description or ''}\n\nWhat to do: {shown}"
