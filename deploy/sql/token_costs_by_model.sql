-- What each model was billed for, by estimate, and how much of it the price book cannot price, and why.
SELECT
    model,
    model_id,
    price_state,
    unpriced_because,
    COUNT(DISTINCT sk) AS conversations,
    SUM(calls) AS calls,
    SUM(input_tokens + cache_read_tokens + cache_write_tokens) AS input_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens,
    SUM(output_tokens) AS output_tokens,
    SUM(total_cost) AS total_cost
FROM token_usage
GROUP BY model, model_id, price_state, unpriced_because
ORDER BY total_cost DESC NULLS LAST, model, unpriced_because
