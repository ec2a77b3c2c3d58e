-- The ten most expensive conversations; of equal ones, the newest.
SELECT
    create_date,
    input_token,
    output_token,
    total_price,
    source
FROM tokens_table_consolidated
ORDER BY total_price DESC, create_date DESC, pk, sk
LIMIT 10
