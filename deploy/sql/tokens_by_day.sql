-- How many conversations each day (UTC) has by source, and what they cost, the newest day first.
SELECT
    DATE(create_date) AS date,
    source,
    COUNT(*) AS conversations,
    SUM(total_price) AS daily_cost
FROM tokens_table_consolidated
GROUP BY DATE(create_date), source
ORDER BY date DESC, source
