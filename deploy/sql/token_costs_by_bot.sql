-- What each bot cost, by estimate, with its title and owner where they are known; one row is without a bot.
SELECT
    usage.bot_id,
    bots.title,
    bots.owner_user_id,
    COUNT(DISTINCT usage.user_id) AS users,
    COUNT(DISTINCT usage.sk) AS conversations,
    SUM(usage.calls) AS calls,
    SUM(usage.total_cost) AS total_cost,
    COUNT_IF(usage.total_cost IS NULL) AS unpriced_rows
FROM token_usage AS usage
LEFT JOIN bots ON bots.bot_id = usage.bot_id
GROUP BY usage.bot_id, bots.title, bots.owner_user_id
ORDER BY total_cost DESC NULLS LAST, usage.bot_id
