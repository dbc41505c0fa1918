//! A folder becomes ordered migrations, statements and directives; a history's rows are compared with them.
//! Knows no connection.

mod backfill;
mod checksum;
mod compare;
mod contract;
mod directive;
mod divergence;
mod empty;
mod folder;
mod format;
mod held;
mod history_table;
mod load;
mod missing;
mod order;
mod phase;
mod reading;
mod release;
mod rules;
mod script;
mod source;
mod table_copy;
mod words;

pub use backfill::{Backfill, Batches};
pub use checksum::{Match, checksum, compare as compare_text, hexadecimal};
pub use compare::{Comparison, compare};
pub use contract::Contract;
pub use divergence::listed;
pub use format::FormatRules;
pub use held::{Held, Holds};
pub use history_table::{HistoryContract, HistoryRow, RowState};
pub use load::{load, load_with};
pub use order::compare as in_order;
pub use phase::PhaseFolder;
pub use reading::split;
pub use release::{Group, Step, how, last_transaction, plan_groups, steps};
pub use rules::Rules;
pub use script::{Script, ScriptError, Statement, StatementKind};
pub use source::{Migration, SourceError, SourceTree, phase_of};
pub use table_copy::TableCopy;
