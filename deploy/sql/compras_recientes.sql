-- The hundred newest purchases with all their details, as their latest events have them; removed ones are gone.
SELECT
    tenant_id,
    compra_id,
    user_id,
    fecha,
    productos,
    total_productos,
    total_cantidad,
    total_precio,
    moneda,
    ultimo_evento,
    actualizada
FROM compras_actuales
ORDER BY dia DESC, REPLACE(fecha, 'T', ' ') DESC, tenant_id, compra_id
LIMIT 100
