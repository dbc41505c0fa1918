//! A trigger that notes the keys of the rows that others write. PURE.

use super::search_path;

/// The table of keys, and the trigger that fills it. It runs with the rights of the role that migrates, so no
/// role needs another right to write to the table; it names everything by its schema; and where it cannot
/// note a key, the row is not written. Without a key it means all rows: TRUNCATE has none.
pub fn noting_keys(schema: &str, notes: &str, table: &str, key: &[String]) -> String {
    let path = search_path!();
    let of = |row: &str| key.iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ");
    let moved: Vec<String> = key
        .iter()
        .map(|column| format!("OLD.{column}::pg_catalog.text IS DISTINCT FROM NEW.{column}::pg_catalog.text"))
        .collect();
    let (old, new, moved, columns) = (of("OLD"), of("NEW"), moved.join(" OR "), key.join(", "));
    format!(
        "CREATE TABLE {notes} AS SELECT {columns} FROM {table} WITH NO DATA; \
         CREATE FUNCTION {schema}.sluice_note() RETURNS pg_catalog.trigger LANGUAGE plpgsql SECURITY DEFINER \
           SET search_path = {path} AS $sluice$ BEGIN \
             IF TG_OP = 'TRUNCATE' THEN INSERT INTO {notes} DEFAULT VALUES; RETURN NULL; END IF; \
             IF TG_OP <> 'INSERT' THEN INSERT INTO {notes} VALUES ({old}); END IF; \
             IF TG_OP = 'INSERT' THEN INSERT INTO {notes} VALUES ({new}); \
             ELSIF TG_OP = 'UPDATE' THEN \
               IF {moved} THEN INSERT INTO {notes} VALUES ({new}); END IF; \
             END IF; RETURN NULL; END $sluice$; \
         REVOKE ALL ON FUNCTION {schema}.sluice_note() FROM PUBLIC; \
         CREATE TRIGGER sluice_note AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW \
           EXECUTE FUNCTION {schema}.sluice_note(); \
         CREATE TRIGGER sluice_note_truncate AFTER TRUNCATE ON {table} FOR EACH STATEMENT \
           EXECUTE FUNCTION {schema}.sluice_note(); \
         ALTER TABLE {table} ENABLE ALWAYS TRIGGER sluice_note; \
         ALTER TABLE {table} ENABLE ALWAYS TRIGGER sluice_note_truncate"
    )
}
