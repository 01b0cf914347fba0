-- name: table_settings
-- What autovacuum goes by for one table or what is stored beside its rows: its {parameters}, in
-- whatever way their numbers are written, else the settings of the server, and its {rows}. A part of
-- other statements. A limit of age can only be lowered; a maximum exists from version 18 on; below 0, what
-- has a threshold is off. What turns autovacuum off is named.
SELECT
    CASE
        WHEN NOT current_setting('autovacuum')::boolean THEN 'autovacuum'
        WHEN NOT current_setting('track_counts')::boolean THEN 'track_counts'
        WHEN NOT set_to.is_on THEN 'autovacuum_enabled'
        ELSE ''
    END AS off_by,
    set_to.vacuum_threshold,
    set_to.vacuum_scale,
    CASE
        WHEN set_to.vacuum_most >= 0 THEN least(
            set_to.vacuum_most, set_to.vacuum_threshold + set_to.vacuum_scale * greatest({rows}, 0)
        )
        ELSE set_to.vacuum_threshold + set_to.vacuum_scale * greatest({rows}, 0)
    END AS vacuum_trigger,
    CASE
        WHEN set_to.insert_threshold >= 0
            THEN set_to.insert_threshold + set_to.insert_scale * greatest({rows}, 0)
    END AS insert_trigger,
    set_to.analyze_threshold + set_to.analyze_scale * greatest({rows}, 0) AS analyze_trigger,
    set_to.cost_limit,
    set_to.rests,
    set_to.freeze_limit,
    set_to.multixact_limit,
    set_to.fillfactor
FROM (
    SELECT
        coalesce(bool_and(v::boolean) FILTER (WHERE o = 'autovacuum_enabled'), true) AS is_on,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_threshold'),
            current_setting('autovacuum_vacuum_threshold')::float8
        ) AS vacuum_threshold,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_scale_factor'),
            current_setting('autovacuum_vacuum_scale_factor')::float8
        ) AS vacuum_scale,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_max_threshold'),
            current_setting('autovacuum_vacuum_max_threshold', true)::float8
        ) AS vacuum_most,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_insert_threshold'),
            current_setting('autovacuum_vacuum_insert_threshold')::float8
        ) AS insert_threshold,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_insert_scale_factor'),
            current_setting('autovacuum_vacuum_insert_scale_factor')::float8
        ) AS insert_scale,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_analyze_threshold'),
            current_setting('autovacuum_analyze_threshold')::float8
        ) AS analyze_threshold,
        coalesce(
            max(v::float8) FILTER (WHERE o = 'autovacuum_analyze_scale_factor'),
            current_setting('autovacuum_analyze_scale_factor')::float8
        ) AS analyze_scale,
        coalesce(
            nullif(max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_cost_limit'), -1),
            nullif(current_setting('autovacuum_vacuum_cost_limit')::float8, -1),
            current_setting('vacuum_cost_limit')::float8
        )::integer AS cost_limit,
        coalesce(
            nullif(max(v::float8) FILTER (WHERE o = 'autovacuum_vacuum_cost_delay'), -1) > 0,
            nullif(current_setting('autovacuum_vacuum_cost_delay'), '-1') <> '0',
            current_setting('vacuum_cost_delay') <> '0'
        ) AS rests,
        least(
            max(v::float8) FILTER (WHERE o = 'autovacuum_freeze_max_age'),
            current_setting('autovacuum_freeze_max_age')::float8
        ) AS freeze_limit,
        least(
            max(v::float8) FILTER (WHERE o = 'autovacuum_multixact_freeze_max_age'),
            current_setting('autovacuum_multixact_freeze_max_age')::float8
        ) AS multixact_limit,
        coalesce(max(v::float8) FILTER (WHERE o = 'fillfactor'), 100)::integer AS fillfactor
    FROM pg_options_to_table({parameters}) AS options (o, v)
) AS set_to;
