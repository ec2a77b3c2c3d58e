-- What each day (UTC) cost by the application's own count and by estimate, the newest day first; spread_cost has no window.
WITH costs AS (
    SELECT
        day,
        cost AS application_cost,
        CASE WHEN window_start IS NULL THEN cost END AS spread_cost,
        CAST(NULL AS DECIMAL(20, 12)) AS estimated_cost,
        0 AS unpriced
    FROM application_costs
    UNION ALL
    SELECT
        day,
        CAST(NULL AS DECIMAL(38, 24)) AS application_cost,
        CAST(NULL AS DECIMAL(38, 24)) AS spread_cost,
        total_cost AS estimated_cost,
        CASE WHEN total_cost IS NULL THEN 1 ELSE 0 END AS unpriced
    FROM token_usage
)
SELECT
    day,
    SUM(application_cost) AS application_cost,
    SUM(spread_cost) AS spread_cost,
    SUM(estimated_cost) AS estimated_cost,
    SUM(unpriced) AS unpriced_rows
FROM costs
GROUP BY day
ORDER BY day DESC
