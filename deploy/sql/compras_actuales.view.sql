-- Each purchase as it is now, as of the last merge of `compras_current`; a total too large for a decimal is null.
CREATE OR REPLACE VIEW compras_actuales AS
SELECT
    tenant_id,
    compra_id,
    user_id,
    fecha,
    day AS dia,
    productos,
    CARDINALITY(productos) AS total_productos,
    TRY_CAST(quantity AS DECIMAL(38, 6)) AS total_cantidad,
    revenue AS total_precio,
    currency AS moneda,
    event_name AS ultimo_evento,
    CAST(processed_at AS TIMESTAMP) AS actualizada
FROM compras_current
WHERE state IN ('current', 'too_large')
