-- What each model was really billed for, by estimate, and how much of it the price book cannot price, and why.
SELECT
    model,
    price_state,
    unpriced_because,
    COUNT(*) AS conversations,
    SUM(calls) AS calls,
    SUM(input_tokens) AS input_tokens,
    SUM(output_tokens) AS output_tokens,
    SUM(total_cost) AS total_cost
FROM token_costs
GROUP BY model, price_state, unpriced_because
ORDER BY total_cost DESC NULLS LAST, model, unpriced_because
