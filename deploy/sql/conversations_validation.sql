-- How many users the curated conversations have, the days of their first conversations, and how many each had on average.
SELECT
    COUNT(*) AS total_usuarios,
    MIN(fecha_primera_conversacion) AS fecha_min,
    MAX(fecha_primera_conversacion) AS fecha_max,
    AVG(numero_conversaciones) AS promedio_conversaciones
FROM data
