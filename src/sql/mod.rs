//! SQL is read here, once: where statements begin and end, and what each of them needs of a transaction.
//! Pure, in time proportional to the text. Why there is no syntax tree: docs/adr/0040.

mod constant;
mod cursor;
mod enum_value;
mod kind;
mod savepoint;
mod split;
mod token;
mod transaction;

pub use constant::constant;
pub use cursor::{Cursor, Name};
pub use enum_value::EnumValue;
pub use kind::{IndexBuild, Needs, Statement};
pub use savepoint::{Savepoint, savepoint};
pub use split::{Fault, Pieces, split};
pub use token::{Token, TokenKind, Tokens};
pub use transaction::{Control, Isolation, control, local_setting, may_commit_within};
