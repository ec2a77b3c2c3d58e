-- What each tenant sells each day (UTC), over the purchases as they are now: purchases, buyers, units, income, average ticket, income so far and since the day of sales before; `sin_total` counts totals too large for a decimal.
WITH eventos AS (
    SELECT
        *,
        REGEXP_EXTRACT("$path", '[^/]+$') AS archivo,
        NULLIF(REGEXP_EXTRACT("$path", '_[0-9]+_[0-9]+_([0-9]+)[.]json$', 1), '') AS secuencia
    FROM compras_json
),
momentos AS (
    SELECT
        *,
        COUNT(*) OVER (PARTITION BY tenant_id, compra_id, metadata.processed_at)
        = COUNT(secuencia) OVER (PARTITION BY tenant_id, compra_id, metadata.processed_at) AS con_secuencia
    FROM eventos
),
ordenados AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY tenant_id, compra_id
            ORDER BY
                REPLACE(metadata.processed_at, 'Z', '') DESC,
                CASE WHEN con_secuencia THEN LPAD(secuencia, 128, '0') END DESC,
                metadata.event_name DESC,
                archivo DESC
        ) AS lugar
    FROM momentos
),
actuales AS (
    SELECT
        *,
        TRY_CAST(resumen.total_cantidad AS DECIMAL(38, 6)) AS total_cantidad,
        TRY_CAST(resumen.total_precio AS DECIMAL(38, 2)) AS total_precio
    FROM ordenados
    WHERE lugar = 1 AND metadata.event_name <> 'REMOVE'
),
dias AS (
    SELECT
        tenant_id,
        DATE(CONCAT(year, '-', month, '-', day)) AS dia,
        COUNT(*) AS compras,
        COUNT(DISTINCT user_id) AS compradores,
        SUM(total_cantidad) AS unidades,
        SUM(total_precio) AS ingresos,
        CAST(AVG(total_precio) AS DECIMAL(38, 2)) AS ticket_promedio,
        COUNT(*) - COUNT(total_precio) AS sin_total
    FROM actuales
    GROUP BY tenant_id, DATE(CONCAT(year, '-', month, '-', day))
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
