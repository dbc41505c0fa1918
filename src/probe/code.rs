//! Whose code the attempts would run, read before any is made.
//!
//! An attempt runs as the application, in a session that the migration role opened: whatever code it runs can
//! say `set_config('role', 'none')` and is the migration role. So it may only be code of those who are that
//! already: the migration role, superusers, and roles that can become the migration role, and of those whom
//! the manifest trusts (`trustedOwners`). What a table brings along is followed through PostgreSQL's own
//! dependencies; where anything else is met, nothing is tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{META, apart, target::Target};
use crate::{
    api::{Finding, RowLevelSecurity, Severity},
    inspect::{CheckError, QueryContext, sql, trial},
    postgres::{query_as, query_scalar},
};

/// Something in the catalog: the catalog's oid, and its own.
pub(super) type Node = (i64, i64);

/// From what is used to what that uses: a relation to its triggers, defaults, constraints, policies, rules,
/// indexes and the types of its columns; then whatever PostgreSQL wrote down as a dependency. A foreign key
/// leads in both directions, because its triggers are on both tables. What PostgreSQL itself brings has lower
/// numbers and leads nowhere.
const EDGES: &str = "\
    WITH k AS (SELECT 'pg_catalog.pg_class'::regclass::oid AS class, 'pg_catalog.pg_type'::regclass::oid AS \
    type, 'pg_catalog.pg_proc'::regclass::oid AS proc, \
      'pg_catalog.pg_operator'::regclass::oid AS operator, 'pg_catalog.pg_constraint'::regclass::oid AS con, \
      'pg_catalog.pg_trigger'::regclass::oid AS trig, \
      'pg_catalog.pg_attrdef'::regclass::oid AS def, 'pg_catalog.pg_policy'::regclass::oid AS pol, \
      'pg_catalog.pg_rewrite'::regclass::oid AS rule), \
    edges(a, b, c, d) AS ( \
      SELECT k.class, t.tgrelid, k.trig, t.oid FROM k, pg_catalog.pg_trigger t WHERE t.tgenabled <> 'D' \
      UNION ALL SELECT k.class, a.adrelid, k.def, a.oid FROM k, pg_catalog.pg_attrdef a \
      UNION ALL SELECT k.class, p.polrelid, k.pol, p.oid FROM k, pg_catalog.pg_policy p \
      UNION ALL SELECT k.class, w.ev_class, k.rule, w.oid FROM k, pg_catalog.pg_rewrite w \
      UNION ALL SELECT k.class, o.conrelid, k.con, o.oid FROM k, pg_catalog.pg_constraint o WHERE o.conrelid \
      <> 0 \
      UNION ALL SELECT k.type, o.contypid, k.con, o.oid FROM k, pg_catalog.pg_constraint o WHERE o.contypid \
      <> 0 \
      UNION ALL SELECT k.class, i.indrelid, k.class, i.indexrelid FROM k, pg_catalog.pg_index i \
      UNION ALL SELECT k.class, h.inhparent, k.class, h.inhrelid FROM k, pg_catalog.pg_inherits h \
      UNION ALL SELECT k.class, h.inhrelid, k.class, h.inhparent FROM k, pg_catalog.pg_inherits h \
      UNION ALL SELECT k.class, t.attrelid, k.type, t.atttypid FROM k, pg_catalog.pg_attribute t WHERE \
      t.attnum > 0 AND NOT t.attisdropped AND t.atttypid >= 16384 \
      UNION ALL SELECT k.type, t.oid, k.class, t.typrelid FROM k, pg_catalog.pg_type t WHERE t.typrelid <> 0 \
      UNION ALL SELECT k.type, t.castsource, k.proc, t.castfunc FROM k, pg_catalog.pg_cast t WHERE \
      t.castfunc <> 0 \
      UNION ALL SELECT k.type, t.casttarget, k.proc, t.castfunc FROM k, pg_catalog.pg_cast t WHERE \
      t.castfunc <> 0 AND t.castsource < 16384 \
      UNION ALL SELECT d.classid, d.objid, d.refclassid, d.refobjid FROM k, pg_catalog.pg_depend d \
        WHERE d.classid IN (k.class, k.type, k.proc, k.operator, k.con, k.trig, k.def, k.pol, k.rule) \
          AND d.refclassid IN (k.class, k.type, k.proc, k.operator, k.con)) \
    SELECT a::int8, b::int8, c::int8, d::int8 FROM edges WHERE b >= 16384 AND d >= 16384";

/// What there is to know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A function of the application's.
    Function,
    /// A function of another role, which the manifest may trust.
    OfThird,
    /// A relation of the application's, which may hang code on it at any time.
    Relation,
    /// A type of the application's.
    Type,
    /// A table on another server.
    Foreign,
    /// Another role may make triggers or foreign keys on it: it is locked before its code is read.
    Open,
    /// It has triggers, and another role may make some: a trigger does not say who made it.
    Triggers,
    /// It was to be locked and could not be.
    Unheld,
    /// A function that looks names up when it runs: PostgreSQL does not know what it calls.
    Late,
    /// Something of the application's, wherever it is: what is found by name may be this.
    Anywhere,
    /// Something of another role, which the manifest may trust, wherever it is.
    AnywhereOfThird,
}

/// `app` are the roles that the application is or can become and that are not the migration role, nor a
/// superuser, nor can become the migration role; `other` are all roles like that which the manifest does not
/// trust, and `app` in any case. The owner of a table is the team, unless the application can be it; a
/// function has to be of the migration role's, a superuser's or a trusted role's. $1 is the application's
/// role, $2 are the trusted ones.
const FACTS: &str = "\
    WITH me AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname IN (SESSION_USER, CURRENT_USER)), \
    version AS (SELECT CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' \
    ELSE 'MEMBER' END AS becomes), \
    stranger AS MATERIALIZED (SELECT r.oid, r.rolname::text AS name FROM version v, pg_catalog.pg_roles r \
    WHERE NOT r.rolsuper \
      AND NOT EXISTS (SELECT FROM me WHERE me.oid = r.oid OR pg_catalog.pg_has_role(r.oid, me.oid, \
      v.becomes))), \
    app AS MATERIALIZED (SELECT o.oid, o.name FROM stranger o, pg_catalog.pg_roles a WHERE a.rolname = $1 \
    AND pg_catalog.pg_has_role(a.oid, o.oid, 'MEMBER')), \
    other AS MATERIALIZED (SELECT s.oid, s.name FROM stranger s WHERE s.name <> ALL ($2::text[]) OR s.oid IN \
    (SELECT oid FROM app) UNION ALL SELECT 0, 'PUBLIC'), \
    relation AS MATERIALIZED (SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS sql, n.nspname \
    || '.' || c.relname AS name \
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')), \
    open AS (SELECT c.oid, c.sql, (SELECT pg_catalog.string_agg(DISTINCT o.name, ', ') FROM other o \
        WHERE EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) x WHERE x.grantee = o.oid AND \
        x.privilege_type IN ('TRIGGER', 'REFERENCES')) \
           OR EXISTS (SELECT FROM pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) x \
             WHERE t.attrelid = c.oid AND x.grantee = o.oid AND x.privilege_type = 'REFERENCES')) AS names \
      FROM relation c WHERE c.relkind IN ('r', 'p', 'v')), \
    made AS (SELECT c.oid, c.name, (SELECT pg_catalog.string_agg(DISTINCT o.name, ', ') FROM other o, \
    pg_catalog.aclexplode(c.relacl) x \
        WHERE x.grantee = o.oid AND x.privilege_type = 'TRIGGER') AS names \
      FROM relation c WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT \
      t.tgisinternal)), \
    function AS (SELECT p.oid, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, \
    pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name, \
        p.proowner, l.lanname NOT IN ('internal', 'c') AND p.prosqlbody IS NULL AS late \
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN \
      pg_catalog.pg_language l ON l.oid = p.prolang \
      WHERE p.oid >= 16384) \
    SELECT 'pg_catalog.pg_proc'::regclass::oid::int8, f.oid::int8, CASE WHEN o.oid IN (SELECT oid FROM app) \
    THEN 'function' ELSE 'third' END, f.name, o.name \
      FROM function f JOIN other o ON o.oid = f.proowner \
    UNION ALL SELECT 'pg_catalog.pg_proc'::regclass::oid::int8, f.oid::int8, 'late', f.name, '' FROM \
    function f WHERE f.late \
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass::oid::int8, c.oid::int8, 'relation', c.name, o.name \
    FROM relation c JOIN app o ON o.oid = c.relowner \
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass::oid::int8, c.oid::int8, 'foreign', c.name, '' FROM \
    relation c WHERE c.relkind = 'f' \
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass::oid::int8, c.oid::int8, 'open', c.sql, c.names FROM \
    open c WHERE c.names IS NOT NULL \
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass::oid::int8, c.oid::int8, 'triggers', c.name, c.names \
    FROM made c WHERE c.names IS NOT NULL \
    UNION ALL SELECT 'pg_catalog.pg_type'::regclass::oid::int8, t.oid::int8, 'type', \
    pg_catalog.format_type(t.oid, NULL), o.name \
      FROM pg_catalog.pg_type t JOIN app o ON o.oid = t.typowner WHERE t.oid >= 16384 AND t.typrelid = 0 AND \
      t.typelem = 0";

/// One thing that is known of a node, with its name and who it belongs to or is open to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    what: What,
    name: String,
    who: String,
}

/// What tables bring along, as it is in the catalog.
#[derive(Clone, Debug, Default)]
struct Code {
    edges: DiGraphMap<Node, ()>,
    facts: BTreeMap<Node, Vec<Fact>>,
    /// Of the application's, and out of the reach of whatever looks names up.
    apart: BTreeSet<Node>,
    /// The catalog of relations.
    class: i64,
}

/// The targets on which something can be tried, and why the others are not among them.
pub(super) async fn admit(
    connection: &mut PgConnection,
    targets: Vec<Target>,
    security: &RowLevelSecurity,
) -> Result<(Vec<Target>, Vec<Finding>), CheckError> {
    let mut code = read(connection, security).await?;
    let open = code.open(&targets);
    if !open.is_empty() {
        // A new trigger or foreign key waits for this lock, and writers do not. So the code that is read next
        // is the code that runs.
        let held = sees_the_newest(connection).await? && hold(connection, &open).await?;
        code = read(connection, security).await?;
        if !held {
            code.mark_unheld(&open);
        }
    }
    Ok(judge(&code, targets))
}

async fn read(connection: &mut PgConnection, security: &RowLevelSecurity) -> Result<Code, CheckError> {
    let edges: Vec<(i64, i64, i64, i64)> =
        query_as(EDGES).fetch_all(&mut *connection).await.context("read what tables bring along")?;
    let facts = query_as(FACTS)
        .bind(&security.app_role)
        .bind(&security.trusted_owners)
        .fetch_all(&mut *connection)
        .await;
    let facts: Vec<(i64, i64, String, String, String)> =
        facts.context("read whose code tables bring along")?;
    let (class,): (i64,) = query_as("SELECT 'pg_catalog.pg_class'::regclass::oid::int8")
        .fetch_one(&mut *connection)
        .await
        .context("read the number of a catalog")?;
    let apart = apart::nodes(connection, security).await?;
    let mut code = Code { apart, class, ..Code::default() };
    for (a, b, c, d) in edges {
        code.edges.add_edge((a, b), (c, d), ());
    }
    for (catalog, oid, what, name, who) in facts {
        let what = match what.as_str() {
            "function" => What::Function,
            "third" => What::OfThird,
            "late" => What::Late,
            "relation" => What::Relation,
            "foreign" => What::Foreign,
            "open" => What::Open,
            "triggers" => What::Triggers,
            _ => What::Type,
        };
        code.edges.add_node((catalog, oid));
        code.facts.entry((catalog, oid)).or_default().push(Fact { what, name, who });
    }
    Ok(code)
}

/// Whether a query sees what was committed since the transaction began. A migration may have chosen
/// otherwise, and a lock would not help.
async fn sees_the_newest(connection: &mut PgConnection) -> Result<bool, CheckError> {
    let text = "SELECT pg_catalog.current_setting('transaction_isolation') = 'read committed'";
    query_scalar(text).fetch_one(connection).await.context("read the isolation of the transaction")
}

/// Whether all of them are locked, until the check ends.
async fn hold(connection: &mut PgConnection, open: &BTreeSet<String>) -> Result<bool, CheckError> {
    trial::begin(connection).await?;
    let names: Vec<_> = open.iter().map(String::as_str).collect();
    let text = format!(
        "SET LOCAL lock_timeout = '500ms'; LOCK TABLE {} IN ROW EXCLUSIVE MODE; RELEASE SAVEPOINT \
            sluice_trial",
        names.join(", ")
    );
    let locked = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await;
    let held = trial::answer(locked, "keep others from changing what a table brings along")?.is_ok();
    if !held {
        trial::end(connection).await?;
    }
    Ok(held)
}

impl Code {
    /// What is met on the paths from each node. Nodes that lead to one another meet the same; those that
    /// follow come first.
    fn met(&self) -> BTreeMap<Node, Rc<BTreeSet<&Fact>>> {
        let mut met: BTreeMap<Node, Rc<BTreeSet<&Fact>>> = BTreeMap::new();
        for cycle in kosaraju_scc(&self.edges) {
            let own = cycle.iter().filter_map(|node| self.facts.get(node)).flatten();
            let after = cycle
                .iter()
                .flat_map(|node| self.edges.neighbors(*node))
                .filter_map(|node| met.get(&node))
                .flat_map(|facts| facts.iter().copied());
            let facts = Rc::new(own.chain(after).collect());
            met.extend(cycle.into_iter().map(|node| (node, Rc::clone(&facts))));
        }
        met
    }

    /// Relations that must not change, and how they are written.
    fn open(&self, targets: &[Target]) -> BTreeSet<String> {
        let met = self.met();
        let facts = targets
            .iter()
            .filter_map(|target| met.get(&(self.class, target.oid)))
            .flat_map(|facts| facts.iter());
        facts.filter(|fact| fact.what == What::Open).map(|fact| fact.name.clone()).collect()
    }

    fn mark_unheld(&mut self, open: &BTreeSet<String>) {
        for fact in self
            .facts
            .values_mut()
            .flatten()
            .filter(|fact| fact.what == What::Open && open.contains(&fact.name))
        {
            fact.what = What::Unheld;
        }
    }

    /// What stands against trying anything where this is met.
    fn objections<'f>(&'f self, met: &BTreeSet<&'f Fact>) -> BTreeSet<Fact> {
        let mut against: BTreeSet<Fact> = met
            .iter()
            .filter(|fact| !matches!(fact.what, What::Open | What::Late))
            .map(|fact| (*fact).clone())
            .collect();
        let late = met.iter().any(|fact| fact.what == What::Late);
        let others =
            |fact: &&Fact| matches!(fact.what, What::Function | What::OfThird | What::Relation | What::Type);
        // What is called by name is one reason more only where there is no better one; the application's own
        // is the worse.
        let near =
            || self.facts.iter().filter(|(node, _)| !self.apart.contains(node)).flat_map(|(_, facts)| facts);
        let worst = || near().filter(others).min_by_key(|fact| fact.what == What::OfThird);
        if let (true, Some(other)) = (late && against.is_empty(), worst()) {
            let what = if other.what == What::OfThird { What::AnywhereOfThird } else { What::Anywhere };
            against.insert(Fact { what, ..other.clone() });
        }
        against
    }
}

/// One finding for each objection, with the tables that it keeps from being tried. PURE.
fn judge(code: &Code, targets: Vec<Target>) -> (Vec<Target>, Vec<Finding>) {
    let mut kept: BTreeMap<Fact, Vec<String>> = BTreeMap::new();
    let mut admitted = Vec::new();
    let met = code.met();
    for target in targets {
        let against = met.get(&(code.class, target.oid)).map(|met| code.objections(met)).unwrap_or_default();
        if against.is_empty() {
            admitted.push(target);
            continue;
        }
        for fact in against {
            kept.entry(fact).or_default().push(target.display());
        }
    }
    (admitted, kept.iter().map(|(fact, tables)| finding(fact, tables)).collect())
}

fn finding(Fact { what, name, who }: &Fact, tables: &[String]) -> Finding {
    let untried = format!("so {}{}", Finding::UNTRIED, sql::few(tables, 20));
    let (severity, why, remedy) = match what {
        What::Function | What::OfThird => (
            Severity::Error,
            format!("{who:?} owns this function, and it would run in the session of the migration role, \
                which it can take over"),
            format!("read it, then ALTER FUNCTION {name} OWNER TO the migration role, or drop what calls \
                it{}", trust(*what, who)),
        ),
        What::Relation | What::Type => (
            Severity::Error,
            format!("{who:?} owns it, and may hang code on it at any time that runs in the session of the \
                migration role"),
            "give it to the migration role (ALTER … OWNER TO)".to_owned(),
        ),
        What::Foreign => (
            Severity::Warning,
            "unproven: what is done to a foreign table is done on another server".to_owned(),
            "REVOKE ALL ON it FROM the application's role, or name it in \
                spec.verify.rowLevelSecurity.except".to_owned(),
        ),
        What::Open | What::Triggers => (
            Severity::Warning,
            format!("unproven: it has triggers, and {who} may make some: a trigger does not say who made it"),
            format!("REVOKE TRIGGER ON {name} FROM {who}, and inspect its triggers"),
        ),
        What::Unheld => (
            Severity::Warning,
            "unproven: others may hang code on it, and it could not be locked within 500 ms by a transaction \
                that is READ COMMITTED".to_owned(),
            "revoke TRIGGER and REFERENCES; the next verification retries it".to_owned(),
        ),
        // The application could switch the probe off by such a thing, so that is no warning.
        What::Anywhere => (
            Severity::Error,
            format!("{who:?} owns it, and functions that look names up when they run might come to it"),
            "give it to the migration role (ALTER … OWNER TO), drop it, or name its schema in \
                spec.verify.rowLevelSecurity.applicationSchemas \
             if no function of yours reads it"
                .to_owned(),
        ),
        What::Late | What::AnywhereOfThird => (
            Severity::Warning,
            format!("unproven: {who:?} owns it, and functions that look names up when they run might come to \
                it"),
            "give it to the migration role (ALTER … OWNER TO), drop it, or name a third owner in \
                spec.verify.rowLevelSecurity.trustedOwners".to_owned(),
        ),
    };
    Finding { severity, ..META.finding(name, format!("{why}, {untried}"), remedy) }
}

/// How the manifest trusts a role: a hosting platform's role that gives no function away.
fn trust(what: What, who: &str) -> String {
    let third = what == What::OfThird;
    if third {
        format!(
            "; if {who:?} may do what the migration role may, name it in \
                spec.verify.rowLevelSecurity.trustedOwners"
        )
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Node = (1, 10);

    /// A table that leads to these nodes one after the other, each with what is known of it.
    fn chain(facts: &[What]) -> Code {
        let mut code = Code { class: 1, ..Code::default() };
        let mut from = TABLE;
        for (at, what) in (20..).zip(facts) {
            code.edges.add_edge(from, (2, at), ());
            from = (2, at);
            code.facts.insert(from, vec![Fact { what: *what, name: format!("n{at}"), who: "app".into() }]);
        }
        // A path back: dependencies go in cycles.
        code.edges.add_edge(from, TABLE, ());
        code
    }

    fn judged(code: &Code) -> (usize, Vec<(Severity, String)>) {
        let target = Target { oid: 10, schema: "s".into(), name: "t".into(), ..Target::default() };
        let (admitted, found) = judge(code, vec![target]);
        (admitted.len(), found.into_iter().map(|finding| (finding.severity, finding.object)).collect())
    }

    #[test]
    fn a_table_that_brings_nothing_of_others_is_tried() {
        assert_eq!(judged(&chain(&[])), (1, vec![]));
        assert_eq!(judged(&chain(&[What::Late, What::Open])), (1, vec![]));
    }

    #[test]
    fn whatever_somebody_else_owns_on_the_way_keeps_it_from_being_tried() {
        for what in [What::Function, What::OfThird, What::Relation, What::Type] {
            assert_eq!(judged(&chain(&[What::Late, what])), (0, vec![(Severity::Error, "n21".to_owned())]));
        }
        for what in [What::Foreign, What::Triggers, What::Unheld] {
            assert_eq!(judged(&chain(&[what])), (0, vec![(Severity::Warning, "n20".to_owned())]));
        }
    }

    /// Tables that refer to one another are one cycle, however many they are.
    #[test]
    fn ten_thousand_tables_around_one_take_no_longer_than_they_must() {
        let mut code = Code { class: 1, ..Code::default() };
        for oid in 11..10_011 {
            code.edges.add_edge((1, oid), TABLE, ());
            code.edges.add_edge(TABLE, (1, oid), ());
            code.facts.insert(
                (1, oid),
                vec![Fact { what: What::Open, name: format!("t{oid}"), who: "app".into() }],
            );
        }
        let targets: Vec<_> = (11..10_011).map(|oid| Target { oid, ..Target::default() }).collect();
        let started = std::time::Instant::now();
        assert_eq!(code.open(&targets[..1]).len(), 10_000);
        code.facts.clear();
        assert_eq!(judge(&code, targets).0.len(), 10_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn a_function_that_looks_names_up_might_call_any_function_of_others() {
        let elsewhere = |mut code: Code| {
            code.facts
                .insert((2, 99), vec![Fact { what: What::Function, name: "far".into(), who: "app".into() }]);
            code
        };
        assert_eq!(judged(&elsewhere(chain(&[What::Late]))), (0, vec![(Severity::Error, "far".to_owned())]));
        assert_eq!(judged(&elsewhere(chain(&[]))), (1, vec![]), "what is bound already cannot call it");
        let mut apart = elsewhere(chain(&[What::Late]));
        apart.apart.insert((2, 99));
        assert_eq!(judged(&apart), (1, vec![]), "what no name leads to is not called");
        let mut bound = chain(&[What::Late, What::Function]);
        bound.apart.insert((2, 21));
        assert_eq!(
            judged(&bound),
            (0, vec![(Severity::Error, "n21".to_owned())]),
            "what is bound is met, wherever it is"
        );
    }
}
