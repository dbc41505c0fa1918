//! SQL is read here, once: where statements begin and end, and what each of them is ([`Statement`]), with
//! what it needs of a transaction and how far it reaches. Nothing else guesses that from a text. Pure, in
//! time proportional to the text. Why there is no syntax tree: docs/adr/0040.

mod altered;
mod code;
mod concurrent;
mod constant;
mod cursor;
mod enum_value;
mod kind;
mod lock;
mod lock_mode;
mod made;
mod ranged;
mod reach;
mod savepoint;
mod split;
mod token;
mod transaction;

pub use altered::{Altered, AlteredColumn};
pub use concurrent::concurrent_relations;
pub use constant::constant;
pub use cursor::{Cursor, Name};
pub use enum_value::EnumValue;
pub use kind::{IndexBuild, Needs, Statement, Verb};
pub use lock::{TableLock, table_locks};
pub use lock_mode::LockMode;
pub use made::{Made, made};
pub use ranged::Ranged;
pub use reach::{Change, Reach};
pub use savepoint::Savepoint;
pub use split::{Fault, Pieces, split};
pub use token::{Token, TokenKind, Tokens};
pub use transaction::{Control, Isolation};
