-- One line: estimates beside the application's own prices, over the conversations that have both.
SELECT
    SUM(CASE WHEN state IN ('agrees', 'differs') THEN estimated_cost END) AS estimated_cost,
    SUM(CASE WHEN state IN ('agrees', 'differs') THEN application_total_price END) AS application_total_price,
    ROUND(
        CAST(SUM(CASE WHEN state IN ('agrees', 'differs') THEN estimated_cost END) AS DOUBLE)
        / CAST(SUM(CASE WHEN state IN ('agrees', 'differs') THEN application_total_price END) AS DOUBLE),
        4
    ) AS ratio,
    COUNT_IF(state = 'agrees') AS agree,
    COUNT_IF(state = 'differs') AS differ,
    COUNT_IF(state = 'unpriced') AS unpriced,
    COUNT_IF(state = 'no_application_price') AS without_application_price
FROM token_reconciliation
