//! The verbs of the binary: arguments to validated values to a call.
