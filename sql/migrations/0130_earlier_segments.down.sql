-- Without its rows a month would be exported again, and what its archive alone has would count as deleted.
DO $$
BEGIN
    IF EXISTS (SELECT FROM ops.earlier_segments) THEN
        RAISE EXCEPTION 'ops.earlier_segments has segments that a recovery brought back as they were earlier'
            USING HINT = 'Thaw their months first: SELECT DISTINCT month FROM ops.earlier_segments';
    END IF;
END
$$;
DROP TABLE ops.earlier_segments;
