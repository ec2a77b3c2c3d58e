-- Whether the consolidation is right: the first and the last conversation of each source, and how many.
SELECT
    source,
    MIN(create_date) AS earliest,
    MAX(create_date) AS latest,
    COUNT(*) AS count
FROM tokens_table_consolidated
GROUP BY source
ORDER BY source
