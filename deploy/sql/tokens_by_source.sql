-- How many conversations each source table has, their tokens and their cost.
SELECT
    source,
    COUNT(*) AS records,
    SUM(input_token) AS input_tokens,
    SUM(output_token) AS output_tokens,
    SUM(total_price) AS total_cost
FROM tokens_table_consolidated
GROUP BY source
ORDER BY source
