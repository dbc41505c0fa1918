//! Which database it is: what stays the same while its name, its host and its URL change, and is another one
//! when another one takes its place.

use sqlx::PgConnection;

use super::{QueryContext, QueryError, query_scalar};

/// The system identifier of the cluster and the oid of the database, as `SYSTEM/OID`. Replicas that take over
/// keep both; a restore into a new database has another oid, a new cluster another identifier. None where the
/// role may not read the identifier.
pub async fn database_identity(connection: &mut PgConnection) -> Result<Option<String>, QueryError> {
    let what = "read which database this is";
    // A function that may not be called is an error before anything of the query is evaluated, so this is a
    // query of its own.
    let readable = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    let may: bool = query_scalar(readable).fetch_one(&mut *connection).await.context(what)?;
    if !may {
        return Ok(None);
    }
    let text = "SELECT pg_catalog.concat(c.system_identifier, '/', d.oid) FROM \
        pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d \
         WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()";
    query_scalar(text).fetch_optional(connection).await.context(what)
}
