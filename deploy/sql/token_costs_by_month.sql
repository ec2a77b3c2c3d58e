-- What each month (UTC) used and cost, by estimate, the newest month first.
SELECT
    SUBSTR(CAST(day AS VARCHAR), 1, 7) AS month,
    COUNT(DISTINCT user_id) AS users,
    COUNT(DISTINCT sk) AS conversations,
    SUM(calls) AS calls,
    SUM(input_tokens) AS input_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens,
    SUM(cache_write_tokens) AS cache_write_tokens,
    SUM(output_tokens) AS output_tokens,
    SUM(total_cost) AS total_cost,
    COUNT_IF(total_cost IS NULL) AS unpriced_rows
FROM token_usage
GROUP BY SUBSTR(CAST(day AS VARCHAR), 1, 7)
ORDER BY month DESC
