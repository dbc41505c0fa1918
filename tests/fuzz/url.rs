//! What a Secret holds.

use sluice::postgres::ConnectionUrl;

use super::Target;

pub const TARGET: Target = Target { name: "url", seeds: &SEEDS, documents: false, words: &WORDS, read };

const SEEDS: [&str; 5] = [
    "postgres://app:s3cr%40t@db.example:5432/records?schema=clinic&sslmode=require&connection_limit=5",
    "postgresql://app@%2Frun%2Fpostgresql:5544/records",
    "postgres://app@/records?host=/run/postgresql&port=5544",
    "prisma+postgres://accelerate.example/?api_key=k",
    "host=db user=app password='s3 cret' dbname=records",
];
const WORDS: [&str; 14] =
    ["://", "@", ":", "/", "?", "#", "%", "%00", "[::1]", "password=", "'", "host=", "&", "sslmode="];

fn read(text: &str) -> bool {
    let Ok(url) = ConnectionUrl::parse(text) else { return false };
    let shown = format!("{url:?}");
    assert!(!shown.contains("s3cr%40t") && !url.place().contains("s3cr@t@"), "{shown}");
    let _ = (url.pooled().is_some(), url.schema().is_some(), url.with_database("other"));
    true
}
