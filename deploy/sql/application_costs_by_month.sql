-- What the application itself counted by month (UTC), user and bot, the newest month first and the dearest in it.
SELECT
    SUBSTR(CAST(costs.day AS VARCHAR), 1, 7) AS month,
    costs.user_id,
    costs.bot_id,
    bots.title,
    COUNT(DISTINCT costs.sk) AS conversations,
    SUM(costs.cost) AS application_cost
FROM application_costs AS costs
LEFT JOIN bots ON bots.bot_id = costs.bot_id
GROUP BY SUBSTR(CAST(costs.day AS VARCHAR), 1, 7), costs.user_id, costs.bot_id, bots.title
ORDER BY month DESC, application_cost DESC, costs.user_id, costs.bot_id
