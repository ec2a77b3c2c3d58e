-- Each purchase as it is now: its latest event, unless that event removes the purchase; a total too large for a decimal is null.
CREATE OR REPLACE VIEW compras_actuales AS
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
)
SELECT
    tenant_id,
    compra_id,
    user_id,
    fecha,
    DATE(CONCAT(year, '-', month, '-', day)) AS dia,
    productos,
    resumen.total_productos,
    TRY_CAST(resumen.total_cantidad AS DECIMAL(38, 6)) AS total_cantidad,
    TRY_CAST(resumen.total_precio AS DECIMAL(38, 2)) AS total_precio,
    resumen.moneda,
    metadata.event_name AS ultimo_evento,
    metadata.processed_at AS actualizada
FROM ordenados
WHERE lugar = 1 AND metadata.event_name <> 'REMOVE'
