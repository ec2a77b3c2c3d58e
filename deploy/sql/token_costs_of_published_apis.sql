-- What the bots that are published as an API cost by month (UTC), by estimate.
SELECT
    SUBSTR(CAST(usage.day AS VARCHAR), 1, 7) AS month,
    usage.bot_id,
    bots.title,
    bots.owner_user_id,
    COUNT(DISTINCT usage.sk) AS conversations,
    SUM(usage.calls) AS calls,
    SUM(usage.total_cost) AS total_cost
FROM token_usage AS usage
LEFT JOIN bots ON bots.bot_id = usage.bot_id
WHERE usage.channel = 'published_api'
GROUP BY SUBSTR(CAST(usage.day AS VARCHAR), 1, 7), usage.bot_id, bots.title, bots.owner_user_id
ORDER BY month DESC, total_cost DESC NULLS LAST, usage.bot_id
