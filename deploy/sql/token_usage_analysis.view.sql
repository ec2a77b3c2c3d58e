-- The tokens and dollars of each conversation that used any, newest first (Athena may drop a view's order).
CREATE OR REPLACE VIEW cat_{env}_token_usage_analysis AS
SELECT
    create_date,
    input_token AS "token pregunta",
    output_token AS "token respuesta",
    input_token + output_token AS "total tokens",
    precio_token_input AS "precio total pregunta",
    precio_token_output AS "precio total respuesta",
    total_price AS "precio total",
    source AS "origen datos"
FROM tokens_table_consolidated
WHERE input_token > 0 OR output_token > 0
ORDER BY create_date DESC
