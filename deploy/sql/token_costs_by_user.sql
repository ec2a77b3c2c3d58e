-- What each user used and cost, by estimate, the dearest first.
SELECT
    user_id,
    COUNT(DISTINCT sk) AS conversations,
    SUM(calls) AS calls,
    MIN(day) AS first_day,
    MAX(day) AS last_day,
    SUM(total_cost) AS total_cost,
    COUNT_IF(total_cost IS NULL) AS unpriced_rows
FROM token_usage
WHERE channel = 'chat'
GROUP BY user_id
ORDER BY total_cost DESC NULLS LAST, user_id
