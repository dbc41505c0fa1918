//! Rows of this database refer to rows that are there in another one: no foreign key reaches that far.
//!
//! Both sides are read in the same order and compared as they come, so that neither the number of rows nor
//! their keys decide how much memory it takes. The referring side is read first: who refers to a row commits
//! after the row is there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::{
    across::{
        merge::{Key, Merge, Need, Part},
        stream::{Order, Stream, types},
    },
    api::{CheckId, Finding, OtherDatabase, Relation, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, QueryContext, Scope,
        relation::{self, Relation as Table},
        sql,
        trial::{GRANTED, Refusal},
    },
    limits::CANCEL_GRACE,
    postgres::{connect, log_values},
    redact,
};

const FIELD: &str = "spec.verify.orphans";

const META: Meta = Meta {
    id: CheckId::OrphansElsewhere,
    title: "Every row that refers to a row of another database refers to one that is there",
    condition: "A relation of `spec.verify.orphans` has a `database`, and a row of this database refers to a \
        row that is not there; or it cannot be \
                told: the environment has no URL for that database, it cannot be reached, a table or a \
                column does not exist, a role may \
                not read all rows, or it takes longer than 60 s for a batch of keys or 10 min in all. A row \
                with NULL in one of the columns refers to \
                nothing. Whole numbers are compared as numbers, UUIDs as such, everything else as text, byte \
                by byte. Two databases have no moment \
                in common: what refers is read as it was a little before what it refers to, so a row that \
                was deleted there in between, with those \
                that referred to it, is found once and not again. Counting ends after 1,000.",
    effect: "A service finds nothing where another one is said to have a row: a session without its patient.",
    remedy: "Mend or delete the rows, or bring the missing ones back. Up to three keys stand in the finding. \
        Both databases are only read, each in a \
             transaction that is rolled back; an index on the columns spares the sort where both are whole \
             numbers or UUIDs.",
    severity: Severity::Error,
    aspect: Aspect::Data,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| expected(scope).next().is_some(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// Where counting ends.
const MOST: u64 = 1000;
const SHOWN: usize = 3;
/// How long one relation may take.
const LONGEST: Duration = Duration::from_mins(10);

/// The relations that lead into another database.
fn expected(scope: &Scope) -> impl Iterator<Item = (&Relation, &OtherDatabase)> {
    scope.assertions.orphans.iter().filter_map(|relation| Some((relation, relation.database.as_ref()?)))
}

/// What came of a comparison, and the tables that were compared.
struct Compared {
    merge: Merge,
    table: Table,
    references: Table,
}

/// Why it cannot be told, and what to do about it.
struct Untold {
    why: String,
    remedy: String,
    /// The session with the other database is of no more use.
    lost: bool,
}

/// What ends a comparison.
enum Stop {
    /// This database gave no answer: then nothing else does either.
    Here(CheckError),
    Untold(Untold),
}

impl Stop {
    fn untold(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Untold(Untold { why: why.into(), remedy: remedy.into(), lost: false })
    }

    fn refused(refusal: &Refusal, place: &str) -> Self {
        let remedy = match refusal.code.as_str() {
            "42501" => {
                "grant the role SELECT on the table; where row-level security binds it, ALTER ROLE … \
                    BYPASSRLS"
            }
            "57014" => "an index on the columns makes it faster, where both are whole numbers or UUIDs",
            _ => "correct the relation in spec.verify.orphans",
        };
        Self::untold(format!("{place}: {}", refusal.explain(GRANTED)), remedy)
    }

    fn lost(why: String) -> Self {
        let remedy = "let Sluice verify again when the other database can be reached".to_owned();
        Self::Untold(Untold { why, remedy, lost: true })
    }
}

/// A query of the other database. That it gives no answer is an answer about the relation: this database is
/// well.
async fn away<T>(read: impl Future<Output = Result<T, CheckError>>, name: &str) -> Result<T, Stop> {
    match tokio::time::timeout(GRANTED + CANCEL_GRACE, read).await {
        Ok(answer) => answer.map_err(|error| Stop::lost(format!("the database {name:?}: {error}"))),
        Err(_) => Err(Stop::lost(format!("the database {name:?} gives no answer"))),
    }
}

/// One session for each other database, or why there is none.
type Sessions = BTreeMap<String, Result<PgConnection, String>>;

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let mut sessions = Sessions::new();
    let mut found = Vec::new();
    for (expected, other) in expected(scope) {
        let answer = match session(&mut sessions, scope, other).await {
            Ok(there) => undone(connection, there, &Pair { expected, other, scope }).await,
            Err(stop) => Err(stop),
        };
        let answer = match answer {
            Ok(compared) => {
                log_values(META.id.name(), &compared.merge.first.iter().map(shown).collect::<Vec<_>>());
                Ok(compared)
            }
            Err(Stop::Here(error)) => return Err(error),
            Err(Stop::Untold(untold)) => Err(untold),
        };
        if let Err(untold) = &answer
            && untold.lost
        {
            sessions.insert(other.name.clone(), Err(untold.why.clone()));
        }
        found.extend(judge(expected, other, &answer));
    }
    Ok(found)
}

async fn session<'s>(
    sessions: &'s mut Sessions,
    scope: &Scope,
    other: &OtherDatabase,
) -> Result<&'s mut PgConnection, Stop> {
    let (variable, secret) = (other.variable(), &other.secret_ref.name);
    let Some(url) = scope.elsewhere.get(&other.name) else {
        let why = format!(
            "the environment has no {variable}, which holds the URL of the database {:?}",
            other.name
        );
        let remedy = format!(
            "set {variable}=postgres://user:password@host:5432/name; in a cluster it comes from the Secret \
                {secret:?}"
        );
        return Err(Stop::untold(why, remedy));
    };
    if !sessions.contains_key(&other.name) {
        let opened = match url {
            Ok(url) => connect(url, "sluice verify").await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        sessions.insert(other.name.clone(), opened);
    }
    match sessions.get_mut(&other.name) {
        Some(Ok(session)) => Ok(session),
        known => {
            let why = known.and_then(|known| known.as_ref().err()).cloned().unwrap_or_default();
            Err(Stop::untold(
                why,
                format!(
                    "correct the URL in {variable}, in a cluster that of the Secret {secret:?}, or bring the \
                        database back"
                ),
            ))
        }
    }
}

/// What is compared.
struct Pair<'a> {
    expected: &'a Relation,
    other: &'a OtherDatabase,
    scope: &'a Scope,
}

/// A snapshot of its own on the other side. Everything is rolled back, whatever comes of it.
async fn undone(
    here: &mut PgConnection,
    there: &mut PgConnection,
    pair: &Pair<'_>,
) -> Result<Compared, Stop> {
    sqlx::raw_sql("SAVEPOINT sluice_orphans")
        .execute(&mut *here)
        .await
        .context("set a savepoint")
        .map_err(Stop::Here)?;
    let answer = compare(here, there, pair).await;
    if !matches!(&answer, Err(Stop::Here(_))) {
        let undo = "ROLLBACK TO SAVEPOINT sluice_orphans; RELEASE SAVEPOINT sluice_orphans";
        sqlx::raw_sql(undo).execute(here).await.context("undo the reading of keys").map_err(Stop::Here)?;
    }
    if !matches!(&answer, Err(Stop::Untold(untold)) if untold.lost) {
        let rolled_back = async {
            sqlx::raw_sql("ROLLBACK").execute(&mut *there).await.context("undo the reading of keys")
        };
        away(rolled_back, &pair.other.name).await?;
    }
    answer
}

async fn compare(
    here: &mut PgConnection,
    there: &mut PgConnection,
    pair: &Pair<'_>,
) -> Result<Compared, Stop> {
    let Pair { expected, other, scope } = *pair;
    let (table, own) =
        side(here, &expected.table, &expected.columns, &scope.schemas).await.map_err(Stop::Here)??;
    // The transaction of the other side has no snapshot before its first query, so the own cursor is open
    // before.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '5s'; SET LOCAL \
        statement_timeout = '60s'; SET LOCAL jit = off";
    let (references, others) = {
        let described = side(there, &expected.references, &expected.referenced_columns, &other.schemas);
        away(described, &other.name).await?.map_err(|stop| elsewhere(stop, &other.name))?
    };
    let orders: Vec<_> = own.iter().zip(&others).map(|(own, other)| Order::of(own, other)).collect();
    let referring = Stream::open(here, &table, &expected.columns, &orders).await.map_err(Stop::Here)?;
    let mut referring = referring.map_err(|refusal| Stop::refused(&refusal, "this database"))?;
    let opened = async {
        sqlx::raw_sql(begin).execute(&mut *there).await.context("begin to read the other database")?;
        Stream::open(there, &references, &expected.referenced_columns, &orders).await
    };
    let place = format!("the database {:?}", other.name);
    let mut referred = away(opened, &other.name).await?.map_err(|refusal| Stop::refused(&refusal, &place))?;
    let merge = merged(&mut referring, &mut referred, &place, &other.name).await?;
    Ok(Compared { merge, table, references })
}

/// The table and the types of its columns.
async fn side(
    connection: &mut PgConnection,
    name: &str,
    columns: &[String],
    schemas: &[String],
) -> Result<Result<(Table, Vec<String>), Stop>, CheckError> {
    let tables = relation::find(connection, &[name.to_owned()], schemas).await?;
    let Some(table) = relation::resolve(&tables, name, schemas) else {
        let why =
            format!("{FIELD} names the table {name:?}, and there is no such table in {}", sql::list(schemas));
        return Ok(Err(Stop::untold(
            why,
            format!("correct {FIELD}; names are case-sensitive, and another schema is written schema.table"),
        )));
    };
    let types = types(connection, table, columns).await?;
    Ok(types
        .map(|types| (table.clone(), types))
        .map_err(|why| Stop::untold(why, format!("correct the columns in {FIELD}"))))
}

/// Says where a table is missing.
fn elsewhere(stop: Stop, name: &str) -> Stop {
    match stop {
        Stop::Untold(untold) => {
            Stop::Untold(Untold { why: format!("{} of the database {name:?}", untold.why), ..untold })
        }
        here @ Stop::Here(_) => here,
    }
}

async fn merged(
    referring: &mut Stream<'_>,
    referred: &mut Stream<'_>,
    place: &str,
    name: &str,
) -> Result<Merge, Stop> {
    let until = Instant::now() + LONGEST;
    let mut merge = Merge::new(MOST, SHOWN);
    loop {
        let need = merge.need();
        let batch = match need {
            Need::Nothing => return Ok(merge),
            Need::Referring => {
                let batch = referring.next().await.map_err(Stop::Here)?;
                batch.map_err(|refusal| Stop::refused(&refusal, "this database"))?
            }
            Need::Referred => {
                away(referred.next(), name).await?.map_err(|refusal| Stop::refused(&refusal, place))?
            }
        };
        if merge.give(need, batch).is_err() {
            let why = "the two databases do not sort the keys alike";
            return Err(Stop::untold(
                why,
                "give the columns the same type in both, and both databases the encoding UTF8",
            ));
        }
        if Instant::now() >= until {
            let why = format!("comparing the keys took longer than {} min", LONGEST.as_secs() / 60);
            return Err(Stop::untold(
                why,
                "an index on the columns makes it faster, where both are whole numbers or UUIDs",
            ));
        }
    }
}

fn judge(expected: &Relation, other: &OtherDatabase, answer: &Result<Compared, Untold>) -> Option<Finding> {
    let (columns, referenced) = (expected.columns.join(", "), expected.referenced_columns.join(", "));
    let relation = |references: &str| {
        format!("({columns}) to {references} ({referenced}) of the database {:?}", other.name)
    };
    let Compared { merge, table, references } = match answer {
        Ok(compared) => compared,
        Err(Untold { why, remedy, .. }) => {
            let message = format!(
                "whether rows refer to nothing by {} cannot be told: {why}",
                relation(&expected.references)
            );
            return Some(META.finding(&expected.table, message, remedy));
        }
    };
    let relation = relation(&references.display());
    let message = match merge.missing {
        0 => return None,
        missing if missing > MOST => format!("more than {MOST} rows refer to nothing by {relation}"),
        missing => {
            let (rows, refer) = if missing == 1 { ("row", "refers") } else { ("rows", "refer") };
            let keys: Vec<_> = merge.first.iter().map(|key| redact::value(&shown(key))).collect();
            let more = if usize::try_from(missing).is_ok_and(|missing| missing > keys.len()) {
                " and more"
            } else {
                ""
            };
            format!("{missing} {rows} {refer} to nothing by {relation}: {}{more}", keys.join(", "))
        }
    };
    Some(META.finding(table.display(), message, META.remedy))
}

fn shown(key: &Key) -> String {
    let parts: Vec<_> = key
        .iter()
        .map(|part| match part {
            Part::Number(number) => number.to_string(),
            Part::Text(text) => text.chars().take(100).collect(),
        })
        .collect();
    parts.join(", ")
}
