-- The pipeline's key figures: users, then conversations.
SELECT 'Total Usuarios' AS metrica, COUNT(DISTINCT usuario_id) AS valor
FROM data
UNION ALL
SELECT 'Total Conversaciones', SUM(numero_conversaciones)
FROM data
ORDER BY metrica DESC
