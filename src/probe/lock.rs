//! Who holds the lock that attempts ran into. A session of the application that locks a whole table could
//! keep every probe from reading it.

use super::{
    attempt::{Attempts, Identity},
    target::Target,
};
use crate::inspect::{CheckError, sql};

/// The application's role, one that it can become or one that has its rights, which has locked the table
/// against writing.
pub(super) async fn holder(
    attempts: &mut Attempts<'_>,
    target: &Target,
    app: &str,
) -> Result<Option<String>, CheckError> {
    let statement = format!(
        "SELECT pg_catalog.min(a.usename::pg_catalog.text) FROM pg_catalog.pg_locks l JOIN \
            pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid \
         JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.usesysid \
         WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation OPERATOR(pg_catalog.=) \
         {}::pg_catalog.oid AND l.granted \
           AND l.mode OPERATOR(pg_catalog.=) ANY \
           ('{{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}}'::pg_catalog.text[]) \
           AND NOT r.rolsuper AND r.rolname OPERATOR(pg_catalog.<>) session_user AND r.rolname \
           OPERATOR(pg_catalog.<>) current_user \
           AND (pg_catalog.pg_has_role({}, r.oid, 'MEMBER') OR pg_catalog.pg_has_role(r.oid, {}, 'MEMBER'))",
        target.oid,
        sql::literal(app),
        sql::literal(app)
    );
    let answer = attempts.make(Identity::default(), &statement).await?;
    Ok(answer.ok().and_then(|done| done.row?.into_iter().next()?))
}
