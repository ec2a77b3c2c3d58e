-- What each tenant sells each day (UTC), over the purchases as they are now: purchases, buyers, units, income, average ticket, income so far and since the day of sales before; `sin_total` counts totals too large for a decimal.
WITH dias AS (
    SELECT
        tenant_id,
        dia,
        COUNT(*) AS compras,
        COUNT(DISTINCT user_id) AS compradores,
        SUM(total_cantidad) AS unidades,
        SUM(total_precio) AS ingresos,
        CAST(AVG(total_precio) AS DECIMAL(38, 2)) AS ticket_promedio,
        COUNT(*) - COUNT(total_precio) AS sin_total
    FROM compras_actuales
    GROUP BY tenant_id, dia
)
SELECT
    tenant_id,
    dia,
    compras,
    compradores,
    unidades,
    ingresos,
    ticket_promedio,
    SUM(ingresos) OVER (PARTITION BY tenant_id ORDER BY dia) AS ingresos_acumulados,
    ingresos - LAG(ingresos) OVER (PARTITION BY tenant_id ORDER BY dia) AS variacion,
    sin_total
FROM dias
ORDER BY dia DESC, tenant_id
