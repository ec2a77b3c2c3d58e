-- How many conversations of the new table each day (UTC) has, their tokens and their cost, the newest day first.
SELECT
    DATE(fecha) AS dia,
    COUNT(*) AS conversaciones_bedrock,
    SUM(tokens_total) AS tokens_totales_claude,
    SUM(costo_estimado_usd) AS costo_diario_bedrock,
    modelo
FROM tokens_analysis
GROUP BY DATE(fecha), modelo
ORDER BY dia DESC, modelo
