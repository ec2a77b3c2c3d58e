-- The twenty products that each tenant sells most of, over the purchases as they are now; a line counts as `sin_importe` when its amount is too large for a decimal.
WITH lineas AS (
    SELECT
        tenant_id,
        compra_id,
        actualizada AS momento,
        codigo,
        nombre,
        TRY_CAST(unidades AS DECIMAL(38, 6)) AS cantidad,
        TRY_CAST(total AS DECIMAL(38, 12)) AS importe
    FROM compras_actuales
    CROSS JOIN UNNEST(productos) AS producto (codigo, nombre, precio, unidades, total)
),
vendidos AS (
    SELECT
        tenant_id,
        codigo,
        MAX_BY(nombre, momento) FILTER (WHERE nombre IS NOT NULL) AS nombre,
        COUNT(DISTINCT compra_id) AS compras,
        SUM(cantidad) AS cantidad,
        CAST(SUM(importe) AS DECIMAL(38, 2)) AS ingresos,
        COUNT(*) - COUNT(importe) AS sin_importe
    FROM lineas
    GROUP BY tenant_id, codigo, CASE WHEN codigo IS NULL THEN nombre END
),
puestos AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY tenant_id ORDER BY cantidad DESC, ingresos DESC, codigo, nombre
        ) AS puesto
    FROM vendidos
)
SELECT
    tenant_id,
    puesto,
    codigo,
    nombre,
    compras,
    cantidad,
    ingresos,
    sin_importe
FROM puestos
WHERE puesto <= 20
ORDER BY tenant_id, puesto
