-- Everything that was erased: a few rows a day.
SELECT kind, id, month, erased_at
FROM ops.erasures;
