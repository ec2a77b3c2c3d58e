-- Which columns each table and view of the environment's database has, in order.
SELECT
    table_name,
    column_name,
    data_type,
    is_nullable
FROM information_schema.columns
WHERE table_schema = 'cat_{env}_analytics_db'
ORDER BY table_name, ordinal_position
