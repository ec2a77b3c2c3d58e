-- What a conversation uses and costs on average, by the hour of the day (UTC) it began in.
SELECT
    HOUR(create_date) AS hour,
    AVG(input_token) AS avg_input,
    AVG(output_token) AS avg_output,
    CAST(AVG(total_price) AS DECIMAL(10, 6)) AS avg_cost
FROM tokens_table_consolidated
GROUP BY HOUR(create_date)
ORDER BY hour
