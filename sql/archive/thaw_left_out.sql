-- Segments that stay out, by reason.
SELECT left_out, count(*)
FROM thaw_verdicts
WHERE left_out IS NOT NULL
GROUP BY left_out
ORDER BY left_out;
