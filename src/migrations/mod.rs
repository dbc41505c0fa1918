//! A folder becomes ordered migrations, statements and directives. Knows no connection.
