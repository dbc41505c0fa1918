//! `--format`: the format of a folder, or of a history.

use crate::api::Format;

/// As it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(super) enum FormatName {
    #[value(alias = "prisma")]
    Prisma,
    #[value(alias = "sql")]
    Sql,
}

impl FormatName {
    pub(super) const fn format(self) -> Format {
        match self {
            Self::Prisma => Format::Prisma,
            Self::Sql => Format::Sql,
        }
    }
}
