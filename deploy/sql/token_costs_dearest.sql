-- The ten conversations that cost most, by estimate, beside the application's own price.
SELECT
    usage.conversation_id,
    usage.user_id,
    usage.bot_id,
    MIN(usage.day) AS first_day,
    MAX(usage.day) AS last_day,
    SUM(usage.calls) AS calls,
    SUM(usage.total_cost) AS total_cost,
    MAX(reconciliation.application_total_price) AS application_total_price,
    MAX(reconciliation.state) AS state,
    MAX(reconciliation.reasons) AS reasons
FROM token_usage AS usage
LEFT JOIN token_reconciliation AS reconciliation
    ON reconciliation.pk = usage.pk AND reconciliation.sk = usage.sk
GROUP BY usage.pk, usage.sk, usage.conversation_id, usage.user_id, usage.bot_id
ORDER BY total_cost DESC NULLS LAST, usage.pk, usage.sk
LIMIT 10
